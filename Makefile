.PHONY: repro test test-slow docs cycle-experiment pretrained lock dvc.yaml

PYTHON ?= python3
BIN := .venv/bin
# In the order of their names: by xdist's own, files of few tests come last, and a long one ends alone.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check
# torch_index=URL: torch and torchvision, of the locked versions, from another index, and of it what they need to run on
# a GPU. Such wheels have other hashes than the locked ones, so pip checks those that the index states.
LOCKED := /^[^ ]/ { of_torch = /^(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==/ }
export PATH := $(abspath $(BIN)):$(PATH)

repro: .venv/installed ## install, make everything from nothing, say where it lies; preset=NAME: by presets/NAME.yaml
	@# DVC writes these two in place: a kill meanwhile leaves half of one. Its run cache knows what is lost with it.
	@# A half may still be YAML of the right form, but then it ends within a line.
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
	@# Another kind of machine rounds otherwise, and ends in other models.
	@git diff --quiet HEAD -- params.yaml dvc.lock metrics || echo "baseline   other figures than git holds; to measure" \
		"experiments against these: git commit -m 'A build' params.yaml dvc.lock metrics"

test: .venv/installed ## install, and pass the checks and the quick tests, in minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow"

test-slow: .venv/installed ## install, and pass the tests marked `slow`
	$(PYTEST) -m slow

docs: .venv/installed ## install, and build the documentation, site/index.html; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

cycle-experiment: .venv/installed ## install, and measure cycle training on shares of the pairs; folder=PAIRS: of others
	$(BIN)/python -m benchmarks.cycle $(if $(folder),--folder $(folder))

dvc.yaml: .venv/installed ## write the code that each stage depends on
	$(BIN)/python -m cycle_sound.io.dvc_yaml

pretrained: .venv/installed ## export the models that come along anew, from data/ or models=FOLDER, with the examples
	rm -rf cycle_sound/pretrained
	$(BIN)/cycle-sound export cycle_sound/pretrained --license mit --models $(or $(models),data)
	@cd cycle_sound/pretrained && for name in $(notdir $(basename $(wildcard examples/sounds/*.mp3))); do \
		mkdir -p samples/audio_to_image/$$name samples/image_to_audio/$$name && \
		cp ../../examples/sounds/$$name.mp3 samples/audio_to_image/$$name/source.mp3 && \
		cp ../../examples/pictures/$$name.jpg samples/audio_to_image/$$name/real.jpg && \
		cp ../../examples/pictures/$$name.jpg samples/image_to_audio/$$name/source.jpg && \
		cp ../../examples/sounds/$$name.mp3 samples/image_to_audio/$$name/real.mp3 || exit; \
	done

lock: .venv/installed ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --no-header --no-annotate --group dev --group docs --all-extras --generate-hashes pyproject.toml -o requirements.txt

.venv/installed: .venv/packages pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	@# DVC's own place for what it remembers, /var/tmp, is one where anybody may write.
	$(BIN)/dvc config --local core.site_cache_dir "$(abspath .dvc/tmp/site)"
	@touch $@

.venv/packages: requirements.txt | .git
	@$(PYTHON) -c 'import sys; sys.exit("make PYTHON=...: it takes Python 3.11 or later" if sys.version_info < (3, 11) else 0)'
	@echo "installing into .venv: docs/first-hour.md says how much that is, and how to take less"
	$(PYTHON) -m venv .venv
ifdef torch_index
	awk '$(LOCKED) !of_torch' requirements.txt > .venv/requirements.txt
	$(PIP) install --require-hashes --no-deps -r .venv/requirements.txt
	$(PIP) install --index-url $(torch_index) $$(grep -oE '^(torch|torchvision)==[^ ]+' requirements.txt)
else
	$(PIP) install --require-hashes -r requirements.txt
endif
	@touch $@

# A source archive has none, and DVC works in a repository alone.
.git:
	@echo "no git repository here, which DVC needs: clone one, or make one: git init -q && git add -A && git commit -qm start" >&2
	@exit 1
