.PHONY: repro test test-slow docs cycle-experiment pretrained lock dvc.yaml

PYTHON ?= python3
BIN := .venv/bin
# Files in the order of their names: xdist's own order puts files of few tests last, and a long one then ends alone.
# A worker that dies is not replaced, so the run fails and ends: pytest-xdist could wait for the new one for ever
# (pytest-dev/pytest-xdist#1378).
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
PIP := $(BIN)/python -m pip --disable-pip-version-check
# torch_index=URL: torch, torchvision and the GPU libraries that they need come from another index, in the locked
# versions. Such wheels have other hashes than the locked ones, so pip checks those that the index states.
LOCKED := /^[^ ]/ { of_torch = /^(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==/ }
export PATH := $(abspath $(BIN)):$(PATH)
# The programs in .venv begin with its path, and .dvc/config.local holds that of the project: after a move all is
# installed anew. An empty .venv/installed is one of an earlier version, which did not say where.
MOVED := $(shell [ ! -s .venv/installed ] || [ "$$(cat .venv/installed)" = "$$(cd .venv && pwd -P)" ] || echo moved)

repro: .venv/installed ## install, build everything, print where the results are; preset=NAME: with presets/NAME.yaml
	@# DVC writes these two in place: a kill meanwhile leaves half of one. DVC's run cache still has what is lost with it.
	@# Half a file may still be valid YAML, but then it ends within a line.
	@[ -z "$$(tail -c 1 dvc.lock 2> /dev/null)" ] && ! $(BIN)/dvc stage list 2>&1 | grep -q "^'./dvc.lock'" \
		|| git checkout -q dvc.lock 2> /dev/null || rm dvc.lock
	@$(BIN)/python -m json.tool .dvc/tmp/rwlock > /dev/null 2>&1 || rm -f .dvc/tmp/rwlock
	$(if $(preset),$(BIN)/cycle-sound preset --write $(preset))
	$(BIN)/dvc repro
	@echo
	@grep -E '"(class_consistency|cycle_consistency|pitch_hue_correlation)"' metrics/evaluate_*.json || true
	@echo
	@echo "report     data/report/index.html: figures, curves, samples to see and hear"
	@echo "pictures   metrics/plots/audio_to_image.png, data/samples/audio_to_image/"
	@echo "sounds     data/samples/image_to_audio/*/*.wav, metrics/plots/image_to_audio.png"
	@echo "metrics    metrics/*.json (dvc metrics show), metrics/plots/*.csv (dvc plots show)"
	@# Another kind of machine rounds differently, and ends with other models. Without a commit there is nothing to compare.
	@! git rev-parse -q --verify HEAD > /dev/null || git diff --quiet HEAD -- params.yaml dvc.lock metrics || echo "baseline   other figures than git holds; to measure" \
		"experiments against these: git commit -m 'A build' params.yaml dvc.lock metrics"

test: .venv/installed ## install, and run the checks and the quick tests, in minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

test-slow: .venv/installed ## install, and run the tests marked `slow`
	$(PYTEST) -m slow

docs: .venv/installed ## install, and build the documentation, site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

cycle-experiment: .venv/installed ## install, and measure cycle training on fractions of the pairs; folder=PAIRS: of your own pairs
	$(BIN)/python -m benchmarks.cycle $(if $(folder),--folder $(folder))

dvc.yaml: .venv/installed ## update the code dependencies of each stage
	$(BIN)/python -m cycle_sound.io.dvc_yaml

pretrained: .venv/installed ## export the bundled models again, those of `fine`, from data/ or models=FOLDER, with the examples
	@# Elsewhere first, so that what cannot be exported leaves those that are there.
	rm -rf build/pretrained
	$(BIN)/cycle-sound export build/pretrained --license mit --half --models $(or $(models),data)
	@cd build/pretrained && for name in $(notdir $(basename $(wildcard examples/sounds/*.mp3))); do \
		mkdir -p samples/audio_to_image/$$name samples/image_to_audio/$$name && \
		cp ../../examples/sounds/$$name.mp3 samples/audio_to_image/$$name/source.mp3 && \
		cp ../../examples/pictures/$$name.jpg samples/audio_to_image/$$name/real.jpg && \
		cp ../../examples/pictures/$$name.jpg samples/image_to_audio/$$name/source.jpg && \
		cp ../../examples/sounds/$$name.mp3 samples/image_to_audio/$$name/real.mp3 || exit; \
	done
	rm -rf cycle_sound/pretrained
	mv build/pretrained cycle_sound/pretrained

lock: .venv/installed ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --no-header --no-annotate --group dev --group docs --all-extras --generate-hashes pyproject.toml -o requirements.txt

.venv/installed: .venv/packages pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	@# DVC's default site cache, /var/tmp, is a place where anybody may write.
	$(BIN)/dvc config --local core.site_cache_dir "$(abspath .dvc/tmp/site)"
	@cd .venv && pwd -P > installed

ifdef MOVED
.PHONY: .venv/packages
endif
.venv/packages: requirements.txt | .git
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv: docs/first-hour.md says how large it is, and how to install less"
	$(PYTHON) -m venv$(if $(MOVED), --clear) .venv
ifdef torch_index
	awk '$(LOCKED) !of_torch' requirements.txt > .venv/requirements.txt
	$(PIP) install --require-hashes --no-deps -r .venv/requirements.txt
	$(PIP) install --index-url $(torch_index) $$(grep -oE '^(torch|torchvision)==[^ ]+' requirements.txt)
else
	$(PIP) install --require-hashes -r requirements.txt
endif
	@touch $@

# A source archive is no git repository, and DVC works only in one.
.git:
	@echo "DVC needs a git repository: clone one, or make one here: git init -q && git add -A && git commit -qm start" >&2
	@exit 1
