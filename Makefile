# make demo: annotate the bundled samples and analyse the result. make test: the quick tests. make test-all: all of them,
# with kills, fuzz, Ray, a browser and all of the real music. make coverage: all, and which lines they run.
# make browser: Debian's chromium and Firefox, without which the tests of the report's page skip. .venv is built on first
# use: for the demo with what runs the commands (.venv/ready), for the tests and checks with what they need on top
# (.venv/ready-dev). make notebook: runs the notebook in examples/ and stores its outputs, which the tests compare with those
# of their own run. make constraints: pins every package anew after a requirement has changed; a pin that still fits stays
# (newer ones: make constraints UPGRADE=--upgrade).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := output/demo
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt
UPGRADE :=
BROWSERS := command -v chromium >/dev/null && command -v firefox-esr >/dev/null

.PHONY: demo test test-all coverage check browser notebook constraints clean
.DEFAULT_GOAL := demo

# What runs the commands. torch first and alone: the rest then takes the build that is there
$(VENV)/ready: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" || \
		{ echo "needs Python 3.11 to 3.13: make PYTHON=python3.11 …"; exit 1; }
	@echo "fetching torch and the other packages of requirements.txt into $(VENV): with a CPU build of torch some"
	@echo "380 MB, which become 1.6 GB there; with a CUDA build several times as much"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) "$$(grep '^torch==' requirements.txt)"
	$(INSTALL) -r requirements.txt
	$(INSTALL) --no-deps --editable .
	touch $@

# and what tests and checks the project: Ray, pytest, ruff, …
$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt requirements-ray.txt
	@echo "fetching the packages of requirements-dev.txt, Ray among them, into $(VENV): some 160 MB, which become 0.5 GB"
	$(INSTALL) -r requirements.txt -r requirements-dev.txt
	touch $@

demo: $(VENV)/ready
	rm -rf $(DEMO)
	$(RUN) samples/make_dataset.py --out $(DEMO)/dataset
	$(RUN) process_gigamidi/01_annotate.py --set dataset.path=$(DEMO)/dataset --set output.dir=$(DEMO)/annotations
	$(RUN) process_gigamidi/01_annotate.py --set dataset.path=$(DEMO)/dataset --set model.head=bundled_mlp \
		--set output.dir=$(DEMO)/annotations-by-latents
	$(RUN) analyze_emotion_annotations/01_statistics.py $(DEMO)/annotations --set styles.min_songs=2
	$(RUN) analyze_emotion_annotations/02_plot_song_curves.py $(DEMO)/annotations
	$(RUN) analyze_emotion_annotations/03_report.py $(DEMO)/annotations --set styles.min_songs=2
	@echo
	@$(RUN) samples/print_two_heads.py $(DEMO)/annotations $(DEMO)/annotations-by-latents
	@echo
	@echo "The demo's results:"
	@echo "  every bar:  $(DEMO)/annotations/bars/*.csv"
	@echo "  every song: $(DEMO)/annotations/songs/*.csv"
	@echo "  by latents: $(DEMO)/annotations-by-latents/songs/*.csv, by the head on latents of the bundled encoder"
	@echo "  styles:     $(DEMO)/annotations-analysis/statistics_by_style.csv, styles.png and more"
	@echo "  curves:     $(DEMO)/annotations-analysis/curves/*.png"
	@echo "  a report:   $(DEMO)/annotations-analysis/report.html, to open in a browser"

test: $(VENV)/ready-dev
	$(RUN) -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(VENV)/ready-dev
	$(RUN) -m pytest -n 2 --dist worksteal

coverage: $(VENV)/ready-dev
	mkdir -p output
	$(RUN) -m pytest -n 2 --dist worksteal --cov --cov-report=term

check: $(VENV)/ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

browser:
	@$(BROWSERS) || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || \
		{ echo "no chromium or no firefox-esr, and no root with apt-get to install it: tests of the report's page will skip"; \
		exit 1; }
	@$(BROWSERS) || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium firefox-esr fonts-dejavu-core; }

notebook: $(VENV)/ready-dev
	$(RUN) tests/examples/notebook_run.py

# uv, since one file that it makes holds for every Python and system; in an environment of its own, as .venv needs the file.
# The hashes are without torch, whose build differs by machine, and without what its CUDA build brings along.
COMPILE = build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --strip-extras \
	--no-emit-index-url --no-emit-find-links --annotation-style line $(UPGRADE) \
	--custom-compile-command "make constraints (uv, since one file that it makes holds for every Python and system)"
constraints:
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(COMPILE) --output-file constraints.txt requirements.txt requirements-dev.txt
	$(COMPILE) --output-file requirements-hashed.txt requirements.txt requirements-ray.txt -c constraints.txt \
		--generate-hashes $$(grep -oE '^(torch|triton|cuda-|nvidia-)[^=]*' constraints.txt | sed 's/^/--no-emit-package /')

clean:
	rm -rf $(VENV) output build *.egg-info
