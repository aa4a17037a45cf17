# make demo: annotate the bundled samples and analyse the result. make test: the tests. Both build .venv on first use.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
DEMO := output/demo

.PHONY: demo test check clean
.DEFAULT_GOAL := demo

# torch first and alone: the rest then takes the build that is there
$(VENV)/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.txt)"
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

test: $(VENV)/ready
	$(RUN) -m pytest

check: $(VENV)/ready
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) output build *.egg-info
