"""A small checkpoint of every family, and everything that can be put on one: all of random weights.

Each builder writes into a folder what the real `from_pretrained` then loads. Nothing is downloaded,
and what is built is always the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import peft
import torch
import transformers
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import save_file

from fallback_renderer import tiny
from fallback_renderer.checkpoints import Checkpoints, from_tree
from fallback_renderer.tiny import NOISE, WIDTH

FAMILIES = ("sd15", "sd21", "sdxl", "flux", "sd3")


def build(folder: Path) -> None:
    """All of it: checkpoints by their names, and `loras`, `embeddings` and `vaes`."""
    with torch.random.fork_rng(devices=[]):
        for place, (name, make) in enumerate(CHECKPOINTS.items()):
            torch.manual_seed(place)
            make().save_pretrained(folder / name)
        torch.manual_seed(100)
        _build_loras(folder / "loras")
        _build_embeddings(folder / "embeddings")
        _build_vaes(folder / "vaes")


def sd21() -> Any:
    """Predicts velocities, projects linearly and pads with `!`, as Stable Diffusion 2.1 does."""
    return tiny.sd15(
        tokenizer=tiny.tokenizer(pad_token="!"),
        unet=tiny.unet(use_linear_projection=True, attention_head_dim=(2, 4)),
        scheduler=diffusers.DDIMScheduler(
            prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, **NOISE
        ),
    )


def sdxl() -> Any:
    """Two text encoders, the second pooled, and sizes given to the UNet."""
    first, second = tiny.tokenizer(), tiny.tokenizer(pad_token="!")
    return diffusers.StableDiffusionXLPipeline(
        vae=tiny.vae(scaling_factor=0.13025),
        text_encoder=tiny.text_encoder(first),
        text_encoder_2=tiny.text_encoder(second, transformers.CLIPTextModelWithProjection),
        tokenizer=first,
        tokenizer_2=second,
        unet=tiny.unet(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(2, 4),
            cross_attention_dim=2 * WIDTH,
            use_linear_projection=True,
            transformer_layers_per_block=(1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        ),
        scheduler=diffusers.EulerDiscreteScheduler(timestep_spacing="leading", **NOISE),
    )


def flux(**settings: Any) -> Any:
    """A transformer that flows, T5 for the words and CLIP for the whole."""
    words, pieces = tiny.tokenizer(), t5_tokenizer()
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=_flow_vae(scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=tiny.text_encoder(words),
        tokenizer=words,
        text_encoder_2=t5(pieces, WIDTH),
        tokenizer_2=pieces,
        transformer=diffusers.FluxTransformer2DModel(
            **{
                "patch_size": 1,
                "in_channels": 64,
                "num_layers": 1,
                "num_single_layers": 1,
                "attention_head_dim": 16,
                "num_attention_heads": 2,
                "joint_attention_dim": WIDTH,
                "pooled_projection_dim": WIDTH,
                "axes_dims_rope": (4, 4, 8),
                "guidance_embeds": True,
            }
            | settings
        ).eval(),
    )


def schnell() -> Any:
    """Flux with its guidance distilled away altogether."""
    return flux(guidance_embeds=False)


def sd3() -> Any:
    """Two pooled CLIP encoders and T5."""
    words, pieces = tiny.tokenizer(), t5_tokenizer()
    pooled = transformers.CLIPTextModelWithProjection
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=1,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=6,
            caption_projection_dim=48,
            joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=96,
        ).eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_flow_vae(scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=tiny.text_encoder(words, pooled),
        tokenizer=words,
        text_encoder_2=tiny.text_encoder(words, pooled),
        tokenizer_2=words,
        text_encoder_3=t5(pieces, 2 * WIDTH),
        tokenizer_3=pieces,
    )


def guarded(*, flags: bool) -> Any:
    """With a safety checker that flags everything, or nothing."""
    side = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    checker = StableDiffusionSafetyChecker(
        transformers.CLIPConfig(
            text_config={**side, "num_hidden_layers": 1, "vocab_size": 64},
            vision_config={**side, "num_hidden_layers": 2, "image_size": 30, "patch_size": 10},
            projection_dim=32,
        )
    ).eval()
    # A concept is recognised where the cosine is larger than its weight.
    torch.nn.init.constant_(checker.concept_embeds_weights, -2.0 if flags else 2.0)
    torch.nn.init.constant_(checker.special_care_embeds_weights, 2.0)
    return tiny.sd15(
        safety_checker=checker,
        feature_extractor=transformers.CLIPImageProcessor(
            size={"shortest_edge": 30}, crop_size={"height": 30, "width": 30}
        ),
        requires_safety_checker=True,
    )


def overflowing() -> Any:
    """With a weight that is no number, which comes to a black picture."""
    pipe = tiny.sd15()
    torch.nn.init.constant_(pipe.vae.decoder.conv_in.bias, float("nan"))
    return pipe


CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "sd15": tiny.sd15,
    "sd21": sd21,
    "sdxl": sdxl,
    "flux": flux,
    "schnell": schnell,
    "sd3": sd3,
    "flagging": lambda: guarded(flags=True),
    "clean": lambda: guarded(flags=False),
    "overflowing": overflowing,
}


def table(folder: Path) -> Checkpoints:
    """The checkpoints of a built zoo, each drawing the model of its name with all there is."""
    parts = {
        "loras": {path.stem: str(path) for path in (folder / "loras").iterdir()},
        "embeddings": {path.stem: str(path) for path in (folder / "embeddings").iterdir()},
        "vaes": {path.stem: str(path) for path in (folder / "vaes").iterdir()},
    }
    gone = {kind: {"gone": str(folder / "gone.safetensors")} for kind in parts}
    families = dict.fromkeys(CHECKPOINTS, "sd15") | {one: one for one in FAMILIES}
    return from_tree(
        {
            name: {
                "family": (families | {"schnell": "flux"})[name],
                "models": [name],
                "path": str(folder / name),
                **{kind: files | gone[kind] for kind, files in parts.items()},
            }
            for name in CHECKPOINTS
        }
    )


def t5_tokenizer() -> Any:
    """T5's own kind: it knows a cat, and spells all else."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0), ("▁cat", -4.0)]
    pieces += [(chr(letter), -8.0) for letter in range(33, 127)]
    pieces += [(f"<extra_id_{place}>", 0.0) for place in reversed(range(100))]
    return transformers.T5Tokenizer(vocab=pieces, model_max_length=512)


def t5(pieces: Any, width: int) -> Any:
    """T5's encoder."""
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(pieces),
            d_model=width,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
        )
    ).eval()


def _flow_vae(**settings: Any) -> Any:
    return tiny.vae(latent_channels=16, use_quant_conv=False, use_post_quant_conv=False, **settings)


def _build_loras(folder: Path) -> None:
    """Two for each family that differs; `sd15_kohya` is `sd15_a` as the trainers write it."""
    for family in ("sd15", "sdxl", "flux", "sd3"):
        flows = family in ("flux", "sd3")
        for name in ("a", "b"):
            pipe = CHECKPOINTS[family]()
            layers = _lora_layers(
                pipe.transformer if flows else pipe.unet, ["to_k", "to_q", "to_v", "to_out.0"]
            )
            words = _lora_layers(pipe.text_encoder, ["q_proj", "out_proj"])
            type(pipe).save_lora_weights(
                folder,
                weight_name=f"{family}_{name}.safetensors",
                text_encoder_lora_layers=words if family == "sd15" else None,
                **{"transformer_lora_layers" if flows else "unet_lora_layers": layers},
            )
            if (family, name) == ("sd15", "a"):
                tensors = _kohya("lora_unet", layers) | _kohya("lora_te_text_model", words)
                save_file(tensors, folder / "sd15_kohya.safetensors")


def _lora_layers(module: Any, targets: list[str]) -> dict[str, Any]:
    module.add_adapter(
        peft.LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=targets)
    )
    return peft.get_peft_model_state_dict(module)


def _kohya(prefix: str, layers: dict[str, Any]) -> dict[str, Any]:
    tensors = {}
    for name, tensor in layers.items():
        module, side, _ = name.rsplit(".", 2)
        path = f"{prefix}_{module.replace('.', '_')}"
        tensors[f"{path}.{'lora_down' if side == 'lora_A' else 'lora_up'}.weight"] = tensor
        tensors[f"{path}.alpha"] = torch.tensor(2.0)
    return tensors


def _build_embeddings(folder: Path) -> None:
    folder.mkdir()
    files = {
        "one": {"<one>": torch.randn(WIDTH)},  # as diffusers saves it
        "three": {"emb_params": torch.randn(3, WIDTH)},  # as AUTOMATIC1111 does
        "two_xl": {"clip_l": torch.randn(2, WIDTH), "clip_g": torch.randn(2, WIDTH)},
        "wide": {"emb_params": torch.randn(1, 2 * WIDTH)},  # for another checkpoint
    }
    for name, tensors in files.items():
        save_file(tensors, folder / f"{name}.safetensors")


def _build_vaes(folder: Path) -> None:
    """One that fits, as a folder and as two kinds of single file, and one that does not."""
    other = tiny.vae()
    other.save_pretrained(folder / "other")
    save_file(other.state_dict(), folder / "file.safetensors")
    save_file(_ldm(other.state_dict()), folder / "ldm.safetensors")
    tiny.vae(latent_channels=8).save_pretrained(folder / "eight")


# How a VAE's layers were called before diffusers; levels up are counted from the other end.
_LDM = (
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    ("conv_norm_out", "norm_out"),
    ("conv_shortcut", "nin_shortcut"),
)


def _ldm(tensors: dict[str, Any]) -> dict[str, Any]:
    renamed = {}
    for name, tensor in tensors.items():
        is_attention = ".to_" in name and name.endswith("weight")
        for old, new in _LDM:
            name = re.sub(old, new, name)
        for level in range(4):
            old = f"up_blocks.{level}."
            name = name.replace(f"{old}resnets", f"up.{3 - level}.block")
            name = name.replace(f"{old}upsamplers.0", f"up.{3 - level}.upsample")
        renamed[name] = tensor[..., None, None] if is_attention else tensor
    return renamed
