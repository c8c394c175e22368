"""Can a physics-informed network that solves one equation be finetuned, cheaply, to solve another?

The equation is convection-diffusion-reaction, u_t + β u_x = ν u_xx + ρ u (1 - u) on x in [0, 2π), periodic, t
in [0, 1], from a Gaussian: the benchmark on which peers of OFT adapt networks that were trained for other
coefficients. Its loss needs u_xx through the adapted layers and then a gradient to their parameters, so an
adapter must be differentiable three times: twice to the input, once more to what is trained.

Protocol:

- A network is pretrained on one equation (`protocol.PRETRAINED`), once a seed. Each arm then gets the same
  number of steps of Adam (cosine decay to zero) on another equation, with the same collocation points in the
  same order; its learning rate is the best of one grid, the same for all arms, over equations that are
  reported nowhere (`sweep`, which writes learning_rates.json).
- The loss is the mean squared residual at points drawn anew each step, plus that of the initial condition.
  No solution is shown to it: the reference (`reference`) judges alone.
- Arms: ``oft``, ``coft``, ``lora``, ``boft`` and ``full`` start from the pretrained network; ``scratch``
  trains every weight from a random start; ``none`` is the pretrained network as it is.
- Adapters change the square matrices between hidden layers and nothing else, the same layers for each. The
  first layer reads two coordinates, whose rotation has one angle, and that mixes space with time; the last
  is one neuron, of which a rotation keeps nothing but the length and a low-rank change is a change of
  everything. Biases stay. ``full`` moves every weight, those two layers and the biases too.
- BOFT is PEFT's. Without its CUDA extension PEFT sets the number of butterfly factors to one, which makes it
  a block-diagonal rotation (and a magnitude for each neuron, which PEFT always trains with it); and the
  extension's block diagonal is a kernel with a first derivative alone. So one factor is what a loss of
  second derivatives can train, on any machine.
- ``forgetting`` is the adapted network's error on the equation it was pretrained on. The coefficients are no
  input of the network, so an arm that solves the new equation exactly has the distance between the two
  solutions there: it says how far the old solution was left behind, and zero is reached by not adapting.

Periodicity is exact, by construction: the first layer sees (cos x, sin x) for x (Dong and Ni 2021). As a
penalty on u(0, t) - u(2π, t), the benchmark's way, it leaves u_x free at the ends, and a problem with
diffusion is then not determined.

Sources: equation, domain, initial condition and metrics: Krishnapriyan et al., "Characterizing possible
failure modes in physics-informed neural networks", NeurIPS 2021, arXiv 2109.01050; Cho et al.,
"Hypernetwork-based Meta-Learning for Low-Rank Physics-Informed Neural Networks", NeurIPS 2023, arXiv
2310.09528; Cho et al., "Parameterized Physics-informed Neural Networks for Parameterized PDEs", ICML 2024.
Adapters of such networks compared: Liang and Zhang, arXiv 2603.13751. Periodic inputs: Dong and Ni, "A method
for representing periodic functions and enforcing exactly periodic boundary conditions with deep neural
networks", Journal of Computational Physics 435, 2021. Figures here are not to be set beside theirs: networks,
steps and coefficients are smaller.
"""
