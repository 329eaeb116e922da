"""Loading the network and the tokenizer of a transformer that texts are encoded with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModel, AutoTokenizer

from conceptbench.runtime.files import sha256
from conceptbench.runtime.models import LOADING_ERRORS, model_config, model_folder, not_loaded, quiet_transformers


class LoadedModel(NamedTuple):
    """A transformer that is ready to read texts.

    Attributes
    ----------
    config : transformers' configuration.
    tokenizer : has a padding token.
    network : without a head, in float32, in evaluation mode, on `device`; of an encoder-decoder, the encoder.
    device : torch's.
    revision : the commit on the Hub, or the digest of the weights.
    """

    config: Any
    tokenizer: Any
    network: Any
    device: torch.device
    revision: str

    @property
    def width(self) -> int:
        """The number of entries of a vector."""
        return int(self.config.get_text_config().hidden_size)

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return int(self.config.get_text_config().num_hidden_layers)


def load_model(model: str, device: str | None = None) -> LoadedModel:
    """Load a transformer.

    Parameters
    ----------
    model : `minilm`, `smollm2`, a folder or a Hub id.
    device : torch's; by default a GPU if there is one.

    Raises
    ------
    InputError
        if the model does not exist or cannot be read.
    """
    config, folder = model_config(model), model_folder(model)
    torch_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            whole: Any = AutoModel.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
    except LOADING_ERRORS as error:
        raise not_loaded(model, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    network = whole.get_encoder() if config.is_encoder_decoder else whole
    network.to(torch_device).eval()
    revision: str = getattr(config, "_commit_hash", None) or weights_digest(Path(folder))
    return LoadedModel(config, tokenizer, network, torch_device, revision)


def weights_digest(folder: Path) -> str:
    """Give the digest of a model folder's weights, `sha256:…`."""
    return "sha256:" + sha256(*sorted(folder.glob("*.safetensors")))
