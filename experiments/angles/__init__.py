"""The paper's toy experiment: what angles, and what magnitudes, of activations tell of a picture.

Source: Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", arXiv 2306.07280.

An activation is an inner product of a filter w and the window x of the layer's input that it lies over,
z = w·x = |w| |x| cos(w, x). A convolutional autoencoder is trained with z, as any network is. Afterwards,
with its weights as they are, its encoder makes every feature map in one of three forms, and its decoder
draws the picture from what comes out:

- full: z, as in training;
- angle: cos(w, x) alone;
- magnitude: |w| |x| alone.

What makes the three comparable:

- |x| is the norm of the very window the filter sees: of the layer's own input, zero padding included.
- Every layer of the encoder is in the same form, and gets what the layer before made in that form. ReLU
  stands between them in all three. The encoder has no biases, so z is exactly the product of the other two.
- The decoder was trained with z and expects its scale. So each form is multiplied by one constant for each
  channel of each layer, which gives it the root mean square that z has there, over the same training
  pictures. It is the same rule for all three (full gets 1 from it), and the constants do not depend on the
  picture at hand.
- The decoder is the trained one, unchanged. The pictures judged are none that it was trained on.

So the result says what this network's own decoder gets out of each form, not what another one, trained for
that form, could.
"""
