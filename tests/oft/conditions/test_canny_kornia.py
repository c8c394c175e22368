"""Canny's edges as kornia 0.7.0, which ControlNet++ pins, finds them."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data

from oft.conditions.canny_kornia import extract_canny_kornia

SIDE_PX = 64

# np.packbits of kornia.filters.canny(picture / 255, 0.1, 0.2)[1] by kornia 0.7.0, torch 2.15, a processor.
KORNIA = {
    "astronaut": (
        "44000000000022084400000700002218440000000000220cce0000e1e0002104020001a3300041040200072618004104"
        "cd000cb248004104490008904c00420448800910c4004204c880110084004200048011ff020042082100110184002208"
        "010011008400220cc30009644400220442000f1c4c001204c20000087801120403000089300111040100000830011104"
        "0180000860011104e0c01f084001110630607104400111081820c080400111000820808000011b000c1100cfe1c1268e"
        "061138303063204962121800183c294843164c000c0020480112460004030714c1922200040010c460f153003b001c04"
        "300089e06101f5441000c41fc18204c0180073000c6224400c0018f0123a126004000c1fe212021f040607000613f260"
        "040401801c130180040400ff30120000c4820000c212000048f2000202d2000068980004825a00003004006422620000"
        "11f38039c76200002c028f094c42fe00261cd8514441818022102012207d00c02210471224c37c702e10cda223818710"
        "221218921100019800041184130000ccc1fd1f04120000647f04800796000032227c92009400001222a48200900e061a"
        "160a8704901a0d0b10399813901209891cc630e21012088c17002302101e088401003e0210000c850104419310000584"
        "0108089110000707c188fc159000000065f48590900000042516841090000004"
    ),
    "coffee": (
        "020000000000000003000007800000000e0000f87c000000180007000380000070001c07c0700000c00030783c180000"
        "00006180030c00000060c60000c6000008418c00002300006cc3187c00118000c7823003c008c8001c06600038046000"
        "3204400006022000e104800001833000002480078041100000c880f87c209000038887000700880004088c0201c08800"
        "dc04980dc0608800300490383c309e00e00480c00318930410044383018911741006460000c1108c10026400004120d0"
        "f003300000622060000118000026602000018c00000cc0300000c600001180180000618000630008000c38700186100d"
        "00e40c0ffe1c1004019387000030b004031900e001c190060630001ffe06a00604c004000000a0040583fe0000472004"
        "07062400033b20040104201004022006012c10180430000303080007fdd8000006041f00040bc000c404110006006000"
        "440c4900020020002008470000fc100020104000038810032010420002181006601044c00271100410087c400208200c"
        "8808004002262019440c0220020c20136604032003382032330601e001a020241982000000c060640cc30000000cc0c4"
        "063080000001818803180000000f0318018600000038063040e3800000c01c60e038c000000030c0200c70000380e180"
        "30071f800403833f1800c03ff81e06260c007c2009e004220400062445000442"
    ),
}


def photograph(name: str) -> np.ndarray:
    """Return 64 x 64 pixels of a photograph that ships with scikit-image."""
    if name == "astronaut":
        return np.asarray(skimage.data.astronaut()[::8, ::8])
    return np.asarray(skimage.data.coffee()[8:392:6, 100:484:6])


def edges_of(picture: np.ndarray) -> np.ndarray:
    return np.asarray(extract_canny_kornia(picture)[..., 0] > 0)


@pytest.mark.parametrize("name", KORNIA)
def test_edges_are_kornia_s(name: str) -> None:
    packed = np.frombuffer(bytes.fromhex(KORNIA[name]), np.uint8)
    expected = np.unpackbits(packed).reshape(SIDE_PX, SIDE_PX).astype(bool)
    assert 0.1 < expected.mean() < 0.3
    # Another processor's rounding may move a pixel whose gradient lies on a threshold.
    assert (edges_of(photograph(name)) != expected).sum() <= 2


def test_edges_are_white_on_black_in_three_equal_channels() -> None:
    drawn = extract_canny_kornia(photograph("astronaut"))
    assert drawn.dtype == np.uint8 and drawn.shape == (SIDE_PX, SIDE_PX, 3)
    assert set(np.unique(drawn)) == {0, 255} and (drawn == drawn[..., :1]).all()


def test_a_flat_picture_has_no_edge() -> None:
    assert not extract_canny_kornia(np.full((16, 24, 3), 90, np.uint8)).any()


def ridge(levels: np.ndarray) -> np.ndarray:
    """Return a grey picture of a smooth step to the right whose height in each row is given."""
    across = 1 / (1 + np.exp(-(np.arange(32) - 15.3)))
    grey = np.rint(levels[:, None] * across).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_a_faint_edge_counts_where_it_leads_to_a_strong_one() -> None:
    fading = np.linspace(120, 24, 32)
    assert edges_of(ridge(fading)).any(axis=1).all()
    assert not edges_of(ridge(np.full(32, fading[-1]))).any()


def test_an_edge_is_one_pixel_wide_across_its_direction() -> None:
    assert (edges_of(ridge(np.full(32, 120))).sum(axis=1) == 1).all()
    assert (edges_of(ridge(np.full(32, 120)).transpose(1, 0, 2)).sum(axis=0) == 1).all()


def test_a_view_of_an_array_gives_the_same_edges() -> None:
    picture = photograph("coffee")
    np.testing.assert_array_equal(edges_of(np.asfortranarray(picture)), edges_of(picture))
