# Two commands: `make demo` runs the main job on embedded data, `make test` passes everything that CI checks.
# Both set up .venv with PYTHON (3.10-3.13).

PYTHON ?= python3
RUN := TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python
# Two test processes; one TensorFlow thread each, so that they do not fight over two cores.
PYTEST := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 $(RUN) -m pytest

.PHONY: setup demo dist docs screenshots links test test-dist test-fast test-fuzz test-gpu test-long test-oldest test-newest lint unit doctest build-file tour build-query clean
.PHONY: smoke smoke-train smoke-serve smoke-latents smoke-banana smoke-joint smoke-density smoke-images smoke-energies
.PHONY: smoke-hamiltonian
.PHONY: bench energies joint priors before-after published-mlp study report

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

demo: setup
	$(RUN) examples/train_vae.py --data=digits --posterior=diagonal,full_covariance,iaf --latent_size=16 \
	  --hidden_units=64 --flow_hidden_units=128,128 --epochs=300 --kl_warm_up_steps=300 --keep_best --logdir=runs/demo
	$(RUN) examples/serve_vae.py --saved_model=runs/demo/iaf/saved_model --out=runs/demo/served_samples.png
	$(RUN) examples/fit_banana.py --out=runs/demo/banana.png
	$(RUN) examples/train_conditional_vae.py --logdir=runs/demo/classes
	$(RUN) examples/latent_space.py --logdir=runs/demo/latent_space
	@echo 'Open runs/demo: latent_space/posteriors.png and traversal.png, classes/samples.png, banana.png, curves.png,'
	@echo 'served_samples.png, and the samples and reconstructions of each posterior.'

test: lint unit smoke
	@echo 'All checks passed.'

# The documentation site, in build/docs. Runs every code block, the tutorials while it builds.
.venv/docs_installed: pyproject.toml | setup
	.venv/bin/python -m pip install --quiet --editable '.[docs,test]'
	touch $@

docs: .venv/docs_installed
	$(PYTEST) -q tests/test_docs.py
	$(RUN) -m sphinx -W --keep-going -b html docs build/docs

# Every page of it in Chromium, as wide as a phone and as a desktop; pictures in build/screenshots. Two minutes.
screenshots: docs
	$(PYTEST) -q -m long tests/test_site.py

# Whether the links to other sites lead somewhere. Needs a network.
links: .venv/docs_installed
	$(RUN) -m sphinx -b linkcheck docs build/links

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# With the docstring examples.
unit: setup
	$(PYTEST) -q -n 2 --dist worksteal -m 'not long' --durations=5 --doctest-modules tests tfp_iaf

# About two minutes: the tests that tests/fast_set.py does not leave out.
test-fast: setup
	$(PYTEST) -q -n 2 --dist worksteal -m 'not long' -p tests.fast_set

doctest: setup
	$(PYTEST) -q --doctest-modules tfp_iaf

# Two at a time: most of each is importing and compiling. The conditional examples' --smoke is in tests/examples.
smoke: setup
	$(MAKE) --jobs=2 smoke-images smoke-serve smoke-latents smoke-hamiltonian smoke-banana smoke-joint smoke-density \
	  smoke-energies

smoke-train:
	$(RUN) examples/train_vae.py --smoke --posterior=iaf --prior=autoregressive_flow --tensorboard --logdir=runs/smoke

smoke-serve: smoke-train
	$(RUN) examples/serve_vae.py --saved_model=runs/smoke/iaf-autoregressive_flow/saved_model --out=runs/smoke/served_samples.png --num_samples=4
	$(RUN) examples/serve_vae.py --saved_model=runs/smoke/iaf-autoregressive_flow/saved_model --latency --seconds=0.05

smoke-latents:
	$(RUN) examples/latent_space.py --smoke --logdir=runs/smoke/latents

smoke-banana:
	$(RUN) examples/fit_banana.py --smoke --out=runs/smoke/banana.png

smoke-joint:
	$(RUN) examples/fit_joint_distribution.py --smoke --out=runs/smoke/joint.png

smoke-density:
	$(RUN) examples/fit_density.py --smoke --out=runs/smoke/density.png

smoke-images:
	$(RUN) examples/train_image_vae.py --smoke --logdir=runs/smoke/images

smoke-energies:
	$(RUN) examples/energies.py --smoke --workdir=runs/smoke/energies --out=runs/smoke/energies.png

smoke-hamiltonian:
	$(RUN) examples/hamiltonian_vae.py --smoke --logdir=runs/smoke/hamiltonian

# Against other packages, which get an environment of their own (PyTorch's CPU build, JAX). Half an hour on two cores.
PYTORCH_INDEX ?= https://download.pytorch.org/whl/cpu
.venv-peers/installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --retries=0 --timeout=15 --index-url=$(PYTORCH_INDEX) torch==2.13.0+cpu || \
	  echo "No CPU build of PyTorch from $(PYTORCH_INDEX): taking what pip's own index has"
	.venv-peers/bin/python -m pip install --quiet -r benchmarks/peers.txt
	touch $@

bench: setup .venv-peers/installed
	$(RUN) -m benchmarks.flows --peers_python=.venv-peers/bin/python --out=benchmarks/results/flows
	$(RUN) -m benchmarks.plot_growth
	$(RUN) -m benchmarks.tables

# The flows' benchmark beside an earlier checkout: make before-after BEFORE=../earlier
before-after: setup
	$(RUN) -m benchmarks.before_after --before=$(BEFORE)

# Source distribution and wheel, in dist/.
dist: setup
	rm -rf dist
	.venv/bin/python -m build

# Both, installed into an environment of their own: every name, the README, an example. Some minutes.
test-dist: setup
	$(PYTEST) -q -m long tests/test_packaging.py

# On a machine with a GPU: what only that shows.
test-gpu: setup
	$(PYTEST) -q -m long tests/test_gpu.py

test-long: setup
	$(PYTEST) -q -m long

# Every public entry point with every kind of bad argument, and many drawn inputs: a quarter of an hour on one core.
test-fuzz: setup
	$(RUN) -m tests.inputs.fuzz --out=benchmarks/results/bad_inputs.json
	HYPOTHESIS_PROFILE=long $(PYTEST) -q tests/inputs/test_valid_inputs.py

# On the oldest and on the newest versions that pyproject.toml allows, each in an environment of its own.
OLDEST_PYTHON ?= python3.10
NEWEST_PYTHON ?= python3.13
OLDEST := tensorflow==2.18.* tensorflow-probability[tf]==0.25.* tf-keras==2.18.* keras==3.10.*
VERSION_TESTS := -q -n 2 --dist worksteal -m 'not long'
.venv-oldest/installed: pyproject.toml
	$(OLDEST_PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --editable '.[test]' $(OLDEST)
	touch $@

.venv-newest/installed: pyproject.toml
	$(NEWEST_PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

test-oldest test-newest: test-%: .venv-%/installed
	$(PYTEST:.venv/%=.venv-$*/%) $(VERSION_TESTS) -p tests.fast_set tests
	$(PYTEST:.venv/%=.venv-$*/%) $(VERSION_TESTS) tests/test_serving.py tests/test_distributed.py

# The set-up of a published small MLP; MNIST is an .npz file with x_train, x_valid, x_test.
SEED ?= 0
published-mlp: setup
	$(RUN) examples/train_vae.py --data=$(MNIST) --keep_best --seed=$(SEED) \
	  --posterior=diagonal,iaf --latent_size=128 --hidden_units=256,256 --activation=relu --flow_hidden_units=256,256 \
	  --bijector_fn=gated --optimizer=rmsprop --learning_rate=1e-3 --steps=10000 --logdir=runs/published_mlp/seed$(SEED)

# One run of benchmarks/studies: make study STUDY=small-mlp-ours VARIANT=iaf SEED=0 MNIST=images.npz
STUDY ?= small-mlp-ours
VARIANT ?= iaf
study: setup
	$(RUN) -m benchmarks.study $(STUDY) --variant=$(VARIANT) --seed=$(SEED) --data=$(MNIST)

# Flows on four energies. Three hours on one core.
energies: setup
	$(RUN) examples/energies.py --steps=10000 --learning_rate=5e-3 --jit_compile --out=benchmarks/results/energies.png

# The posteriors of eight schools and of the funnel: docs/variational_inference.md. Ten minutes on one core.
joint: setup
	$(RUN) examples/fit_joint_distribution.py --target=eight_schools --out=benchmarks/results/eight_schools.png
	$(RUN) examples/fit_joint_distribution.py --target=funnel --out=benchmarks/results/funnel.png

# A flow in the posterior, in the prior, or in both, on digits: docs/results.md. Ten minutes on two cores.
priors: setup
	$(RUN) examples/train_vae.py --posterior=diagonal,iaf --prior=standard_normal,autoregressive_flow --latent_size=16 \
	  --hidden_units=64 --flow_hidden_units=128,128 --epochs=300 --kl_warm_up_steps=300 --keep_best --logdir=runs/priors

# Tables and figures, from the result files.
report: setup
	$(RUN) -m benchmarks.report

# BUILD, written from the imports.
build-file: setup
	$(RUN) -m tests.build_file

# The files that CONTRIBUTING.md names, from a trace.
tour: setup
	$(RUN) -m tests.hot_path

# Needs Bazel; Debian's bazel-bootstrap will do.
build-query:
	bazel query 'deps(//:tfp_iaf)'

clean:
	rm -rf .venv .venv-oldest .venv-newest .venv-peers build dist runs *.egg-info
