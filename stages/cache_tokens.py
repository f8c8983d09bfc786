"""Turn every clip of one modality into tokens, once.

python -m stages.cache_tokens image
"""

from cycle_sound import command, device, dvae, encoding, files, paths, tokens
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.shards import SPLITS, Split, read_index


def main(modality: Modality, params: Params) -> None:
    """Write the tokens of all splits, with views of the training clips."""
    device.prepare(params.seed)
    config, augment = params.tokens, params.augment[modality]
    model = dvae.load(paths.vae(modality)).to(device.best())
    vae, shards = files.digest(paths.vae(modality)), read_index(paths.SHARDS)["digest"]
    for split in SPLITS:
        pairs = Split(paths.SHARDS, split)
        views = config.views if split == "train" else 1
        codes, shares = encoding.encode(model, modality, pairs, views, config.top, augment, params.seed)
        header = tokens.Header(vae, shards, model.grid(pairs.shape(modality)), model.config.codebook_size, pairs.ids)
        tokens.write(paths.tokens(modality), split, header, codes, shares)


if __name__ == "__main__":
    command.run(main, MODALITIES)
