"""What a user gets for bad input: one line that says what is wrong, and nothing is lost."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from bad_files import write_all
from cli_calls import TINY, Command, contents, start

from pyro_vae.cli.main import run

NORMAL = "--likelihood Normal"
CONV = "--encoder ConvEncoder --decoder ConvDecoder"
DAMAGED = "; use the previous checkpoint"

#: A command, and the essential part of its message.
TABLE = {
    # words
    "no number": ("train --epochs x", "--epochs takes a whole number, not 'x'"),
    "a fraction": ("train --epochs 1.5", "--epochs takes a whole number, not '1.5'"),
    "no rate": ("train --lr fast", "--lr takes a number, not 'fast'"),
    "no value": ("train --epochs", "--epochs needs a value: a whole number"),
    "no value before an option": ("train --lr --seed 1", "--lr needs a value: a number"),
    "misspelt option": ("train --latnt 3", "unknown option --latnt; did you mean --latent?"),
    "stray word": ("train digits", "unexpected 'digits'; see pyro-vae train --help"),
    "switch with a word": (
        "train --overwrite true",
        "unexpected 'true': --overwrite is a switch and takes no value",
    ),
    "switch with a value": ("train --json=1", "--json is a switch: it takes no value"),
    "no choice": ("train --schedule fast", "'fast' is not one of cosine, linear, constant"),
    "no truth": ("train --pictures maybe", "--pictures takes true or false, not 'maybe'"),
    "RUN missing": ("evaluate", "RUN is missing: pyro-vae evaluate RUN"),
    "two runs": ("evaluate run run", "unexpected 'run'; see pyro-vae evaluate --help"),
    "option of another command": ("resume run --out x", "unknown option --out"),
    "no split": ("evaluate run --split all", "--split: 'all' is not one of train, valid, test"),
    "no action": ("data lst", "list|fetch: 'lst' is not one of list, fetch"),
    # parts
    "unknown part": (
        "train --prior Foo",
        "--prior: there is no prior 'Foo'; choose from StandardNormal",
    ),
    "misspelt part": ("train --likelihood Bernouli", "did you mean Bernoulli?"),
    "a function": ("train --prior os.system", "--prior: os has no class system"),
    "another kind": (
        "train --prior collections.OrderedDict",
        "--prior: collections.OrderedDict is not a Prior; choose from StandardNormal",
    ),
    "no module": ("train --prior nosuch.Mine", "there is no module nosuch"),
    "base class": ("train --prior Prior", "--prior: Prior cannot stand here; choose from"),
    "the wrong way round": (
        "train --encoder ConvDecoder",
        "--encoder: ConvDecoder cannot stand here; choose from MLP, ConvEncoder",
    ),
    "option of an unnamed part": (
        "train --likelihood.scale 0.3",
        "--likelihood.scale: name the likelihood first, --likelihood ",
    ),
    "misspelt option of a part": (
        "train --encoder.hiden [8]",
        "--encoder.hiden is not an option; MLP takes --encoder.hidden, --encoder.activation",
    ),
    "option of another part": (
        "train --likelihood Bernoulli --likelihood.scale 0.3",
        "--likelihood.scale is not an option; Bernoulli takes none",
    ),
    "no choice of a part": (
        "train --objective.kl foo",
        "--objective.kl: 'foo' is not one of analytic, sampled, auto",
    ),
    "no value of a part": (f"train {NORMAL} --likelihood.scale wide", "takes a number, 'shared'"),
    "no list": (
        "train --encoder.hidden 8",
        "--encoder.hidden takes a list of whole numbers, like [400, 200], not '8'",
    ),
    "part within a part": (
        "train --posterior Planar --posterior.base Foo",
        "--posterior.base: there is no posterior 'Foo'; choose from DiagonalNormal",
    ),
    "part without what it needs": ("train --likelihood Categorical", "needs --likelihood.levels"),
    "filled in": ("train --prior.latent 3", "--prior.latent is filled in: give --latent"),
    "no such page": ("train --prior.help Foo", "--prior.help: there is no prior 'Foo'"),
    # families of programs
    "unknown family": (
        "train --program conditonal",
        "--program: there is no program 'conditonal'; choose from vae, clustering",
    ),
    "misspelt option of a family": (
        "train --program hierarchical --program.layer [2]",
        "--program.layer is not an option; hierarchical takes --program.layers, --program.infer",
    ),
    "no list of layers": (
        "train --program hierarchical --program.layers 3",
        "--program.layers takes a list of whole numbers, like [400, 200], not '3'",
    ),
    "no layers": ("train --program hierarchical --program.layers []", "--program.layers are numbe"),
    "a layer of nothing": (
        "train --program hierarchical --program.layers 3 0",
        "--program.layers are numbers of at least 1, not [3, 0]",
    ),
    "a ladder of another posterior": (
        "train --program hierarchical --posterior Laplace",
        "--posterior Laplace cannot stand in a ladder, which multiplies diagonal normals: leave it",
    ),
    "a posterior of one latent": (
        "train --program residual --posterior SemiAmortized",
        "--posterior SemiAmortized uses the model's joint density of one z, and --program residual "
        "has none such: it has a latent in each layer; choose from DiagonalNormal",
    ),
    "a prior of x alone": (
        "train --program hierarchical --prior VampPrior",
        "--prior VampPrior is made of posteriors q(z|x), and --program hierarchical has none such",
    ),
    "a prior without clusters": (
        "train --program clustering --prior Laplace",
        "--prior Laplace has no normals for clusters: leave it out, or name MixtureOfNormals or V",
    ),
    "clusters that are no normals": (
        "train --program clustering --prior VampPrior --posterior FullCovarianceNormal",
        "--prior VampPrior has no normals for clusters: name MixtureOfNormals, or leave --post",
    ),
    "a prior of the posterior, and it of the prior": (
        "train --prior VampPrior --posterior SemiAmortized",
        "--posterior SemiAmortized uses the prior, without an end: change one of the two",
    ),
    "two numbers of clusters": (
        "train --program clustering --program.clusters 3 --prior MixtureOfNormals",
        "--program.clusters 3, but the prior has 10 components: give one of the two",
    ),
    "no clusters": (
        "train --program clustering --program.clusters 0",
        "--program.clusters is at l",
    ),
    "a prior without context": (
        "train --program conditional --program.prior_given_context true --prior Laplace",
        "--prior Laplace does not depend on the context: leave it out",
    ),
    "an estimator that nobody heeds": (
        "train --program clustering --objective InfoELBO",
        "--objective InfoELBO has its own gradients, and would not heed --program.estimator enumer",
    ),
    "an objective of one latent": (
        "train --program hierarchical --objective FactorELBO",
        "FactorELBO is about one latent, and the programs have 'z2', 'z1': choose one",
    ),
    "no labels": (
        "train --program conditional --data linear_gaussian",
        "linear_gaussian has no labels: give them in a .npz, y beside x",
    ),
    "no labels for some": (
        "train --program semi_supervised --data real.npy",
        "real has no labels: give them in a .npz, y beside x",
    ),
    "a label below 0": (
        "train --program conditional --data labels.npz",
        "is no class, which are numbered from 0 on: correct or remove it",
    ),
    "all labels missing": (
        "train --program semi_supervised --data unlabelled.npz",
        "training labels are missing (-1): tell some, or use --program clustering",
    ),
    "too few labels": (
        "train --program semi_supervised --program.labels 3",
        "--program.labels 3: at least one for each of 10 classes is needed, and 50 are there",
    ),
    "more labels than there are": (
        "train --program semi_supervised --program.labels 51",
        "--program.labels 51: at least one for each of 10 classes",
    ),
    "a part of no image": (
        "train --program conditional --program.given half --data real.npy",
        "--program.given half is a part of an image, and real has none: give columns",
    ),
    "no such column": (
        "train --program conditional --program.given [7] --data real.npy",
        "--program.given: there is no column 7; they are 0 to 2",
    ),
    "all columns": (
        "train --program conditional --program.given 0 1 2 --data real.npy",
        "--program.given leaves nothing to model",
    ),
    "a row of nothing": (
        "train --program missing --data nothing.npy",
        "nothing is known of 1 rows of ",
    ),
    "everything hidden": ("train --program missing --program.fraction 1", "--program.fraction is"),
    "no coins of what is missing": (
        "train --program missing --data grey.npy --likelihood Bernoulli",
        "grey has grey values, which cannot become coins for Bernoulli where they are missing: use",
    ),
    "NaN in another family": (
        "train --program counts --data nan.npy",
        "(1 of 120 are not); --program missing takes them for missing entries",
    ),
    "no rate of corruption": (
        "train --program denoising --program.corruption Masking --program.corruption.rate 1",
        "--program denoising: rate is a probability from 0 to below 1, not 1.0",
    ),
    "unknown corruption": (
        "train --program denoising --program.corruption Salt",
        "--program.corruption: there is no corruption 'Salt'; choose from Masking",
    ),
    "too many codes": (
        "train --program discrete --program.codes 9",
        "--program.estimator enumerate sums over 8^9 codes, more than 4,096: take fewer",
    ),
    "a latent of codes": (
        "train --program discrete --latent 3",
        "--latent 3 has no place in --program discrete: give --program.codes and --program.classes",
    ),
    "a posterior of codes": (
        "train --program vector_quantised --posterior Planar",
        "--posterior Planar has no place in --program vector_quantised: it is a point",
    ),
    "more vectors than encodings": (
        "train --program vector_quantised --program.size 500",
        "--program.size 500: the codebook begins with encodings of the data, and 50 examples have",
    ),
    "a likelihood of a linear model": (
        "train --program linear --likelihood Bernoulli",
        "--likelihood Bernoulli has no place in --program linear: x is normal: give",
    ),
    "an encoder of a linear model": (
        "train --program linear --encoder.hidden [8]",
        "--encoder MLP has no place in --program linear: model and guide are linear",
    ),
    "noise of a pixel that never varies": (
        "train --program linear --program.noise per-feature",
        "feature 0 of digits never varies, so that its noise would shrink without end: leave it",
    ),
    "as many latents as features": (
        "train --program linear --data real.npy --latent 3",
        "--latent 3 is not below the 3 features of x",
    ),
    "negative counts": (
        "train --program counts --data negative.npy",
        "--program counts takes whole numbers from 0 on, and ",
    ),
    "counts of a likelihood without totals": (
        "train --program counts --data counts.npy --likelihood Normal",
        "--likelihood Normal takes no totals: choose from NegativeBinomial, Poisson",
    ),
    "no classes to sample": (
        "sample run --label 3",
        "--label 3: vae has no classes to choose from",
    ),
    "weights of no site": (
        "train --program hierarchical --objective SiteBetaELBO --objective.betas.z7 0.5",
        "SiteBetaELBO has a weight for 'z7', and there is no such latent site; there are",
    ),
    "weights of no name": (
        "train --objective SiteBetaELBO --objective.betas 0.5",
        "--objective.betas takes one for each site, like '{\"z1\": 0.5}', not '0.5'",
    ),
    "no schedule": (
        "train --objective BetaELBO --objective.beta banana",
        "--objective.beta takes a number or a Schedule, not 'banana'; choose from ",
    ),
    "no number either": (
        "train --objective BetaELBO --objective.beta 1.2.3",
        "--objective.beta takes a number or a Schedule, not '1.2.3'; choose from ",
    ),
    "a schedule of no module": (
        "train --objective BetaELBO --objective.beta absent.Steps",
        "--objective.beta: there is no module absent to import Steps from; PYTHONPATH=. adds",
    ),
    "a schedule without a length": (
        "train --objective BetaELBO --objective.beta Linear",
        "Linear needs --objective.beta.length",
    ),
    "a misspelt option of a schedule": (
        "train --objective BetaELBO --objective.beta Linear --objective.beta.lenth 3",
        "--objective.beta.lenth is not an option; Linear takes --objective.beta.length, ",
    ),
    "a schedule's wrong number": (
        "train --objective BetaELBO --objective.beta Linear --objective.beta.length x",
        "--objective.beta.length takes a number, not 'x'",
    ),
    # ranges
    "no epochs": ("train --epochs 0", "--epochs is at least 1, not 0"),
    "no batch": ("train --batch_size 0", "--batch_size is at least 1, not 0"),
    "latent 0": ("train --latent 0", "--latent is at least 1, not 0"),
    "limit 0": ("train --limit 0", "--limit is at least 1, not 0"),
    "no particles": ("train --particles 0", "--particles is at least 1, not 0"),
    "negative rate": ("train --lr -1", "lr must be a positive number, not -1"),
    "rate 0 of phi": ("train --lr_guide 0", "lr_guide must be a positive number, not 0"),
    "negative norm": ("train --clip_norm -1", "clip_norm is a positive number, not -1"),
    "negative scale": (f"train {NORMAL} --likelihood.scale -1", "--likelihood Normal: "),
    "no units": ("train --encoder.hidden [0]", "--encoder MLP: a shape is positive whole numbers"),
    "no device": ("train --device gpu7", "device 'gpu7' is not to be had here"),
    "huge seed": ("train --seed 99999999999999999999", "--seed is a whole number of 64 bits"),
    "nothing to evaluate": ("evaluate run --limit 0", "--limit is at least 1, not 0"),
    "evaluate without particles": ("evaluate run --particles 0", "--particles is at least 1"),
    "evaluate elsewhere": ("evaluate run --device gpu7", "device 'gpu7' is not to be had here"),
    "no samples": ("sample run --n 0", "--n is at least 1, not 0"),
    "strange ending": ("sample run --out x.gif", "a file that ends in .png or .npy is needed"),
    # data
    "unknown set": ("train --data digit", "unknown data set 'digit'; did you mean 'digits'?"),
    "empty name": ("train --data ''", "unknown data set ''"),
    "unknown ending": ("train --data mine.txt", "files ending in .npy, .npz, .csv"),
    "missing file": ("train --data mine.npy", "there is no data file mine.npy"),
    "a folder for a file": ("train --data folder.npy", "there is no data file folder.npy"),
    "wrong shape": ("train --data line.npy", "(examples, features...) is needed"),
    "one example": ("train --data one.npy", "has 1 examples to train on; at least 10 are needed"),
    "no examples": ("train --data none.npy", "is empty: its shape is (0, 3)"),
    "words in an array": ("train --data words.npy", "holds <U1; real numbers are needed"),
    "complex numbers": ("train --data complex.npy", "holds complex128; real numbers are needed"),
    "pickled objects": ("train --data objects.npy", "save it again with numpy.save"),
    "NaN": ("train --data nan.npy", "row 7, column 1 (from 0) is nan; finite numbers"),
    "infinity": ("train --data inf.npy", "row 0, column 2 (from 0) is inf; finite numbers"),
    "events that differ": ("train --data shapes.npz", "they must agree"),
    "truncated array": ("train --data cut.npz", "cut.npz cannot be read"),
    "empty file": ("train --data blank.csv", "blank.csv has no rows of numbers"),
    "words in a table": ("train --data words.csv", "line 3, column 2: 'four' is not a number"),
    "ragged table": ("train --data ragged.csv", "line 2: 1 columns, but 2 in the first row"),
    "NaN in a table": ("train --data nan.csv", "line 2, column 1: 'nan' is not finite"),
    "reals under Bernoulli": (
        "train --data real.npy --likelihood Bernoulli",
        "real has real values, outside the support of Bernoulli: use",
    ),
    "counts without a word": ("train --data counts.npy", "counts holds counts: say how they arise"),
    "vectors under convolutions": (
        f"train --data linear_gaussian {CONV}",
        "--encoder ConvEncoder needs images, and --program vae has vectors of 8 numbers for it: "
        "give --encoder MLP",
    ),
    "an own file under convolutions": (
        "train --data real.npy --likelihood Normal --encoder ConvEncoder",
        "give --encoder MLP, or save the data as (n, channels, height, width)",
    ),
    "a part of an image under convolutions": (
        "train --program conditional --program.given half --decoder ConvDecoder",
        "--decoder ConvDecoder needs images, and --program conditional has vectors of 32 numbers",
    ),
    "no set to fetch": ("data fetch minst", "unknown data set 'minst'; did you mean 'mnist'?"),
    "fetch nothing": ("data fetch", "fetch what? One of digits, linear_gaussian, mnist"),
    # files of options
    "no file": ("train --config no.yaml", "--config: there is no file no.yaml"),
    "a folder": ("train --config run", "--config: run is a folder; name a file in it"),
    "broken YAML": ("train --config broken.yaml", "--config: broken.yaml, line 2 is not YAML"),
    "no options": ("train --config list.yaml", "--config: list.yaml holds no options"),
    "bytes": ("train --config binary.yaml", "--config: binary.yaml is not text"),
    "misspelt key": ("train --config key.yaml", "epoch in key.yaml is not an option; did you mean"),
    "wrong type": ("train --config type.yaml", "epochs in type.yaml takes a whole number, not 'ma"),
    "unknown part in a file": ("train --config part.yaml", "prior in part.yaml: there is no prior"),
    "unknown option in a file": ("train --config option.yaml", "encoder.wide in option.yaml is no"),
    "part without a name": ("train --config nameless.yaml", "prior in nameless.yaml names no part"),
    # folders
    "a run is there": (
        "train --out run",
        "run holds a run already: continue it with `pyro-vae",
    ),
    "a file is there": (
        "train --out a-file",
        "a-file cannot be a run folder: a file is in",
    ),
    "a file on the way": ("train --out a-file/x", "cannot be a run folder: a file is in the way"),
    "sample into a file": ("sample run --out a-file/x.png", "a-file"),
    "no folder": ("evaluate no", "there is no run folder no"),
    "a file for a folder": ("evaluate a-file", "there is no run folder a-file"),
    "an empty folder": ("resume nothing", "nothing is not a run folder: it has no config.yaml"),
    "configuration lost": ("evaluate no-config", "is not a run folder: it has no config.yaml"),
    "no checkpoint": ("evaluate no-checkpoint", "has no checkpoint yet: begin again with `pyro-va"),
    "flipped bit": ("evaluate flipped", f"its contents do not match its SHA-256{DAMAGED}"),
    "flipped bit, resumed": ("resume flipped", f"its contents do not match its SHA-256{DAMAGED}"),
    "truncated": ("evaluate truncated", f"truncated, damaged or another program's{DAMAGED}"),
    "truncated, resumed": ("resume truncated", "truncated, damaged or another program's"),
    "empty checkpoint": ("plot empty", "empty/checkpoint.pt is empty; use the previous checkpoint"),
    "text": ("evaluate words", "is not a whole pyro_vae checkpoint"),
    "a pickle": ("evaluate pickled", "is not a whole pyro_vae checkpoint"),
    "a foreign checkpoint": ("explain foreign", "is not a whole pyro_vae checkpoint"),
    "a pickled module": ("sample module", "is not a whole pyro_vae checkpoint"),
    "a zip archive": ("evaluate zipped", "is not a whole pyro_vae checkpoint"),
    "another model's": ("evaluate other-latent", "the saved state does not fit the model"),
    "another model's, resumed": ("resume other-latent --epochs 3", "does not fit"),
    "no prior": ("evaluate no-prior", "is not the configuration of a run: it has no 'prior'"),
    "many epochs": ("resume many-epochs", "epochs in many-epochs/config.yaml takes a whole number"),
    "other option": (
        "evaluate other-option",
        "learning_rate in other-option/config.yaml is not",
    ),
    "other class": (
        "evaluate other-class",
        "the run uses yours.Prior, and nothing outside pyro_vae is imported unless you name it: "
        "add --allow yours.Prior",
    ),
    "other class, not there": (
        "evaluate other-class --allow yours.Prior",
        "there is no module yours to import yours.Prior from",
    ),
    "wrong kind": ("evaluate wrong-kind", "pyro_vae.networks.MLP is not a Prior"),
    "no class": ("evaluate no-class", "pyro_vae.priors has no class No"),
    "no YAML": ("evaluate no-yaml", "no-yaml/config.yaml, line 2 is not YAML"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a good run and much that is not good."""
    folder = tmp_path_factory.mktemp("place")
    good = tmp_path_factory.mktemp("good") / "run"
    assert run(["train", *TINY, "--out", str(good)]) == 0
    write_all(folder, good)
    return folder


@pytest.mark.parametrize("name", TABLE)
def test_bad_input_gets_one_line_and_nothing_is_lost(name, place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    words, message = TABLE[name]
    command, *rest = shlex.split(words)
    quick = ["--limit", "50"] if command == "train" and "--limit" not in rest else []
    before = contents(place)
    line = Command(capsys).bad(command, *quick, *rest)
    assert message in line
    assert not any(word in line for word in ("Traceback", "<class", "Union", "NoneType", "typing"))
    assert contents(place) == before and not (place / "runs").exists()


def test_unknown_command(capsys):
    result = Command(capsys)("trian")
    assert (result.code, result.out) == (2, "")
    assert result.err == ("pyro-vae: unknown command 'trian'; did you mean train?\n")


def test_debug_adds_the_traceback(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    result = Command(capsys)("evaluate", "flipped", "--debug")
    assert result.code == 2 and result.out == ""
    assert "Traceback (most recent call last)" in result.err
    assert result.err.splitlines()[-1].startswith("pyro-vae evaluate: error: flipped/checkpoint.pt")


def test_in_a_process_of_its_own(place, monkeypatch):
    monkeypatch.chdir(place)
    words, message = TABLE["truncated"]
    process = start(*shlex.split(words))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert message in err
