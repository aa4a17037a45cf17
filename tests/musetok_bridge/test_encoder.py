import math
import pickle
import subprocess
import sys
import threading
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from musetok_bridge import load_encoder, score_to_bars
from musetok_bridge.bar_transformer import MARGIN, BarTransformer, Layer, near_code_boundary, quantize
from musetok_bridge.checkpoint import encoder_tensors, save_encoder
from musetok_bridge.encoder import DTYPES, TOKENS_PER_BATCH, SeenBars, batches_by_length, choose_device, pad_words
from musetok_bridge.vocabulary import MAX_BAR_WORDS, PAD
from pipeline.settings import SettingsError, UserError


@pytest.fixture
def songs(synthetic):
    return [score_to_bars(path) for path in sorted(synthetic.glob("*.mid"))]


def reference(state, words, heads=4):
    """One bar through torch's own transformer layers and a search over all codewords: (codes, latent)."""
    width = state["token_emb.emb_lookup.weight"].shape[1]
    layer = nn.TransformerEncoderLayer(width, heads, 64, dropout=0.0, batch_first=True)
    stack = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    prefix = "encoder.tr_encoder."
    stack.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    with torch.no_grad():
        ids = torch.from_numpy(words[:MAX_BAR_WORDS].astype(np.int64))
        x = state["token_emb.emb_lookup.weight"][ids] * math.sqrt(width) + state["pe.pe"][: len(ids), 0]
        residual = stack(x[None])[0, 0] @ state["enc_out_proj.weight"].T + state["enc_out_proj.bias"]
        codes, latent = [], torch.zeros_like(residual)
        for q in range(4):
            name = f"residual_sim_vq.layers.{q}"
            codebook = state[f"{name}.frozen_codebook"] @ state[f"{name}.code_transform.weight"].T
            codes.append(int(torch.linalg.norm(codebook - residual, dim=1).argmin()))
            residual, latent = residual - codebook[codes[-1]], latent + codebook[codes[-1]]
    return codes, latent.numpy()


def test_it_computes_what_torchs_own_layers_compute(tiny_checkpoint, tiny_state, songs):
    encoder = load_encoder(str(tiny_checkpoint))
    assert (encoder.width, encoder.levels) == (16, 4)
    for bars in songs[::4]:
        codes, latents = encoder.encode(bars)
        assert codes.dtype == np.int16 and latents.dtype == np.float32
        for i in range(len(bars)):
            expected_codes, expected_latent = reference(tiny_state, bars[i])
            assert codes[i].tolist() == expected_codes
            assert np.abs(latents[i] - expected_latent).max() < 1e-5


def test_a_latent_is_the_sum_of_its_codewords(tiny_checkpoint, songs):
    encoder = load_encoder(str(tiny_checkpoint))
    codes, latents = encoder.encode(songs[0])
    codewords = np.stack([encoder.codebooks[q].numpy()[codes[:, q]] for q in range(encoder.levels)])
    assert np.abs(codewords.sum(axis=0) - latents).max() < 1e-5


def test_the_result_does_not_depend_on_the_batch(tiny_checkpoint, songs):
    encoder = load_encoder(str(tiny_checkpoint))
    together = encoder.encode(songs)
    for bars, (codes, latents) in zip(songs, together, strict=True):
        alone = encoder.encode(bars)
        assert np.array_equal(codes, alone[0])
        assert np.abs(latents - alone[1]).max() < 1e-5


@pytest.fixture
def set_threads():
    """torch.set_num_threads, whose effect ends with the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_result_does_not_depend_on_the_number_of_threads(tiny_checkpoint, songs, monkeypatch, set_threads):
    monkeypatch.setitem(TOKENS_PER_BATCH, "cpu", 256)
    encoder = load_encoder(str(tiny_checkpoint))
    threads_of_hidden = set()
    hidden = BarTransformer.hidden

    def watched(self, *arguments):
        threads_of_hidden.add((threading.get_ident(), torch.get_num_threads()))
        return hidden(self, *arguments)

    monkeypatch.setattr(BarTransformer, "hidden", watched)
    encoded = {}
    for threads in (1, 3):
        set_threads(threads)
        threads_of_hidden.clear()
        encoded[threads] = encoder.encode(songs)
        assert torch.get_num_threads() == threads
        assert {used for _, used in threads_of_hidden} == {1}
        assert len(threads_of_hidden) <= threads
    for (codes, latents), (codes_of_3, latents_of_3) in zip(encoded[1], encoded[3], strict=True):
        assert np.array_equal(codes, codes_of_3) and np.array_equal(latents, latents_of_3)


def test_the_number_of_threads_is_restored_when_encoding_fails(tiny_checkpoint, songs, monkeypatch, set_threads):
    def failing(self, *arguments):
        raise RuntimeError("out of memory")

    encoder = load_encoder(str(tiny_checkpoint))
    set_threads(3)
    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="out of memory"):
        patched.setattr(BarTransformer, "hidden", failing)
        encoder.encode(songs)
    assert torch.get_num_threads() == 3
    encoder.encode(songs[0])


def test_equal_bars_have_equal_latents_whatever_their_neighbours(tiny_checkpoint, songs):
    encoder = load_encoder(str(tiny_checkpoint))
    seen = {}
    for bars, (_, latents) in zip(songs, encoder.encode(songs), strict=True):
        for i in range(len(bars)):
            first = seen.setdefault(bars[i][:MAX_BAR_WORDS].tobytes(), latents[i])
            assert np.array_equal(first, latents[i])
    assert len(seen) < sum(len(bars) for bars in songs)


@pytest.fixture
def computed(monkeypatch):
    """The words of every batch that the network reads."""
    batches = []
    hidden = BarTransformer.hidden

    def counted(self, words, *options):
        batches.append(words)
        return hidden(self, words, *options)

    monkeypatch.setattr(BarTransformer, "hidden", counted)
    return batches


def test_projections_of_words_and_positions_add_up_to_those_of_their_sum(tiny_checkpoint, songs):
    network = load_encoder(str(tiny_checkpoint)).network
    words = torch.from_numpy(pad_words([songs[0][i][:MAX_BAR_WORDS] for i in range(len(songs[0]))]))
    attention, (by_word, by_position) = network.layers[0].self_attn, network.first_projections()
    expected = F.linear(network.embed(words), attention.in_proj_weight, attention.in_proj_bias)
    torch.testing.assert_close(by_word[words] + by_position[: words.shape[1]], expected)


def test_hardly_any_padding_is_computed_and_no_bar_twice(tiny_checkpoint, songs, computed):
    load_encoder(str(tiny_checkpoint)).encode(songs)
    distinct = {bars[i][:MAX_BAR_WORDS].tobytes() for bars in songs for i in range(len(bars))}
    rows = [row[row != PAD].numpy().astype(np.int16).tobytes() for words in computed for row in words]
    assert set(rows) == distinct
    assert len(rows) == len(distinct)
    padding = sum(int((words == PAD).sum()) for words in computed)
    assert padding < 0.1 * sum(words.numel() for words in computed)


def test_bars_of_an_earlier_call_are_not_computed_again(tiny_checkpoint, songs, computed):
    encoder = load_encoder(str(tiny_checkpoint))
    seen = SeenBars()
    first = encoder.encode(songs, seen)
    n_batches = len(computed)
    again = encoder.encode(songs[::-1], seen)[::-1]
    assert len(computed) == n_batches
    for (codes, latents), (codes_again, latents_again) in zip(first, again, strict=True):
        assert np.array_equal(codes, codes_again) and np.array_equal(latents, latents_again)


@pytest.mark.parametrize("padded", [False, True])
def test_a_layer_for_the_first_word_only_computes_the_same_output(padded):
    torch.manual_seed(0)
    layer = Layer(32, 4, 64).eval()
    x = torch.randn(3, 7, 32)
    mask = None
    if padded:
        mask = (torch.arange(7) < torch.tensor([7, 4, 1])[:, None])[:, None, None, :]
    with torch.no_grad():
        torch.testing.assert_close(layer.first_word(x, mask), layer(x, mask)[:, :1], atol=1e-6, rtol=1e-5)


def test_words_after_the_128th_are_not_read(tiny_checkpoint, synthetic, tiny_state):
    bars = score_to_bars(synthetic / "dense_bar.mid")
    longest = int(np.diff(bars.offsets).argmax())
    assert len(bars[longest]) > MAX_BAR_WORDS
    codes, _ = load_encoder(str(tiny_checkpoint)).encode(bars)
    assert codes[longest].tolist() == reference(tiny_state, bars[longest][:MAX_BAR_WORDS])[0]


def test_other_number_formats_stay_near_float32(tiny_checkpoint, songs):
    exact, mixed, rough = (
        np.concatenate([latents for _, latents in load_encoder(str(tiny_checkpoint), dtype=dtype).encode(songs)])
        for dtype in DTYPES
    )
    assert 0 < np.linalg.norm(mixed - exact) < np.linalg.norm(rough - exact) < 0.2 * np.linalg.norm(exact)


def test_a_vector_near_the_plane_between_codewords_is_near_a_code_boundary():
    levels = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]], [[0.0, -0.25], [0.0, 0.25]]])
    vectors = torch.tensor([[0.5, 1.0], [MARGIN, 1.0], [-MARGIN / 2, 1.0], [2.0, 3 * MARGIN], [2.0, -MARGIN]])
    expected = [False, False, True, False, True]
    assert near_code_boundary(vectors, levels).tolist() == expected
    moved = vectors + 2 * MARGIN * torch.tensor([[-1.0], [1.0]])[:, None] * vectors.norm(dim=1, keepdim=True)
    other = (quantize(moved.flatten(0, 1), levels)[0] != quantize(vectors.repeat(2, 1), levels)[0]).any(dim=1)
    assert other.view(2, -1).any(dim=0)[torch.tensor(expected)].all()


def test_mixed_reads_bars_again_whose_codes_depend_on_rounding(tiny_checkpoint, songs, monkeypatch):
    exact, mixed = (load_encoder(str(tiny_checkpoint), dtype=dtype) for dtype in ("float32", "mixed"))
    wanted = np.concatenate([latents for _, latents in exact.encode(songs)])
    distinct = {bars[i][:MAX_BAR_WORDS].tobytes() for bars in songs for i in range(len(bars))}
    read_again, others = {}, {}
    for margin in (0.0, 0.003, np.inf):
        monkeypatch.setattr("musetok_bridge.bar_transformer.MARGIN", margin)
        with mock.patch.object(mixed.exact, "hidden", wraps=mixed.exact.hidden) as hidden:
            latents = np.concatenate([latents for _, latents in mixed.encode(songs)])
        read_again[margin] = sum(len(call.args[0]) for call in hidden.call_args_list)
        others[margin] = (latents != wanted).any(axis=1).sum()
    assert read_again[0.0] == 0 < read_again[0.003] < read_again[np.inf] == len(distinct)
    assert others[0.0] > others[0.003] >= others[np.inf] == 0


def test_safetensors_and_pt_hold_the_same_encoder(tiny_checkpoint, tmp_path, songs):
    config, tensors = encoder_tensors(tiny_checkpoint)
    save_encoder(tmp_path / "encoder.safetensors", config, tensors, {"note": "a copy"})
    from_pt, from_safetensors = load_encoder(str(tiny_checkpoint)), load_encoder(str(tmp_path / "encoder.safetensors"))
    assert from_pt.digest == from_safetensors.digest
    assert np.array_equal(from_pt.encode(songs[0])[1], from_safetensors.encode(songs[0])[1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("enc_out_proj.bias"), "enc_out_proj.bias is missing"),
        (
            lambda s: s.update({"encoder.tr_encoder.layers.1.linear1.weight": torch.zeros(64, 31)}),
            "(64, 31), not (64, 32)",
        ),
        (lambda s: s.update({"somebody.else": torch.zeros(1)}), "somebody.else"),
        (lambda s: s.update({"pe.pe": torch.zeros(100, 1, 32)}), "pe.pe is (100, 1, 32)"),
        (lambda s: s.update({"token_emb.emb_lookup.weight": torch.zeros(150, 32)}), "(150, 32), not (168, 32)"),
        (lambda s: s.clear(), "token_emb.emb_lookup.weight"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(tiny_state, tmp_path, change, told):
    state = dict(tiny_state)
    change(state)
    path = tmp_path / "model.pt"
    torch.save(state, path)
    with pytest.raises(UserError) as caught:
        load_encoder(str(path))
    assert told in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_number_formats_are_read(tiny_state, tiny_checkpoint, tmp_path):
    save_file({name: values.to(torch.bfloat16) for name, values in tiny_state.items()}, tmp_path / "half.safetensors")
    torch.save({name: nn.Parameter(values) for name, values in tiny_state.items()}, tmp_path / "parameters.pt")
    assert load_encoder(str(tmp_path / "half.safetensors")).width == 16
    assert load_encoder(str(tmp_path / "parameters.pt")).digest == load_encoder(str(tiny_checkpoint)).digest


class Hostile:
    """Runs code when it is unpickled."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return (open, (str(self.witness), "w"))


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    witness = tmp_path / "witness"
    torch.save({"weights": Hostile(witness)}, tmp_path / "model.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Hostile(witness), protocol=2))
    for name in ("model.pt", "bare.pt"):
        with pytest.raises(UserError):
            load_encoder(str(tmp_path / name))
    assert not witness.exists()


@pytest.mark.parametrize("name", ["no/such/file.pt", "unheard-of"])
def test_a_missing_encoder_is_named(name):
    with pytest.raises(UserError, match=name):
        load_encoder(name)


def test_an_unknown_device_or_dtype_is_named(tiny_checkpoint):
    with pytest.raises(UserError, match="cuda:99"):
        load_encoder(str(tiny_checkpoint), device="cuda:99")
    with pytest.raises(UserError, match="float16"):
        load_encoder(str(tiny_checkpoint), dtype="float16")


def test_batches_hold_bars_of_similar_length_once_each():
    lengths = np.random.default_rng(0).integers(2, 129, 3000)
    batches = list(batches_by_length(lengths, 2048))
    assert sorted(np.concatenate(batches).tolist()) == list(range(3000))
    for batch in batches:
        assert len(batch) * lengths[batch].max() <= 2048
        assert lengths[batch].max() <= 1.125 * lengths[batch].min()
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_many_bars_of_one_length_are_not_padded():
    lengths = np.repeat([50, 53], 400)
    mixed = [batch for batch in batches_by_length(lengths, 2000) if len(set(lengths[batch])) > 1]
    assert len(mixed) <= 1


def test_padding_fills_up_to_the_longest():
    assert pad_words([np.array([0, 162]), np.array([0, 1, 100, 60, 162])]).tolist() == [
        [0, 162, 167, 167, 167],
        [0, 1, 100, 60, 162],
    ]


def test_converting_scores_does_not_import_torch():
    code = "import sys, musetok_bridge; musetok_bridge.score_to_bars; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", ["tiny", pytest.param("full", marks=pytest.mark.slow)])
def test_latents_equal_musetoks_own_model(shared, size, tmp_path):
    """A script in the folder of the expected results writes the checkpoint that they were computed with."""
    golden = shared / "golden"
    path = tmp_path / "model.pt"
    command = [sys.executable, str(golden / "make_musetok_checkpoint.py"), str(path)]
    subprocess.run(command + (["--tiny"] if size == "tiny" else []), check=True)
    expected = np.load(golden / f"latents_{size}.npz")
    names = sorted({key.split("|")[0] for key in expected.files})
    pairs = load_encoder(str(path)).encode([score_to_bars(golden / "synthetic" / name) for name in names])
    same = np.concatenate([(c == expected[f"{n}|codes"]).ravel() for n, (c, _) in zip(names, pairs, strict=True)])
    apart = [np.abs(latents - expected[f"{n}|latents"]).max() for n, (_, latents) in zip(names, pairs, strict=True)]
    print(f"{size}: {same.sum()} of {len(same)} codes equal, largest difference of a latent {max(apart):.1e}")
    assert same.mean() >= 0.995
    assert max(apart) < 1e-3


@pytest.mark.parametrize("device", ["meta", "banana", "cuda:99", "x\ny" * 1000])
def test_a_device_that_is_not_there_is_a_bad_setting(device: str) -> None:
    with pytest.raises(SettingsError, match="is not available on this machine") as raised:
        choose_device(device)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 200
