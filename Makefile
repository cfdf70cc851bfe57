# make demo   Caffe, data, a multi-scale attention net trained, scored and pictured
# make test   the tests
# make ablation  docs/results.md: the papers' claims tried on shapes and CamVid
# make bench  docs/benchmarks.md: speed and memory, beside PyTorch's
# make wheel  build/wheel: Caffe and attscale for machines without a compiler
# PYTHON=... names the interpreter that .venv is made of, otherwise the one that libboost_python is there for.
# VENV is for the image, which has its own (docker/entrypoint.sh).
VENV := .venv
interpreter := $(PYTHON)
override PYTHON := $(VENV)/bin/python
unexport PYTHON
TOOLS := tools
DEMO := runs/demo

# OpenBLAS chooses its kernels by the processor, and their sums differ in the last bits, which training makes visible.
# The demo asks for those that every processor with AVX2 can run, so that its numbers are the same on all of them.
ifneq ($(shell grep -m1 -wo avx2 /proc/cpuinfo),)
demo: export OPENBLAS_CORETYPE ?= Haswell
endif

# CAFFE_ROOT=DIR: that Caffe is used, and none is built (docs/building.md). The tests import it by PYTHONPATH.
ifneq ($(CAFFE_ROOT),)
override CAFFE_ROOT := $(abspath $(CAFFE_ROOT))
export CAFFE_ROOT
export PYTHONPATH := $(CAFFE_ROOT)/python$(if $(PYTHONPATH),:$(PYTHONPATH))
endif

# Compilers and programs of such a prefix come after those of the system; Make 4.3 does not hand this PATH to $(shell).
ifneq ($(CMAKE_PREFIX_PATH),)
export PATH := $(PATH):$(subst :,/bin:,$(subst ;,:,$(CMAKE_PREFIX_PATH)))/bin
endif

# Where it is set, every start of a command would compile our modules anew: a demo has a dozen, the tests hundreds.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: ablation bench demo image wheel test test-all test-docker fuzz soak lint setup torch caffe prototxt check clean

demo: setup $(DEMO)/final.caffemodel $(DEMO)/benchmark_crf.json
	$(PYTHON) $(TOOLS)/visualize.py shapes --weights $(DEMO)/final.caffemodel --out $(DEMO)/attention.png
	$(PYTHON) $(TOOLS)/predict.py shapes --weights $(DEMO)/final.caffemodel --split val --scores --out $(DEMO)/predictions
	$(PYTHON) $(TOOLS)/crf.py shapes --scores $(DEMO)/predictions/scores --out $(DEMO)/crf
	$(PYTHON) $(TOOLS)/evaluate.py shapes --predictions $(DEMO)/crf --out $(DEMO)/crf
	$(PYTHON) $(TOOLS)/evaluate.py shapes --weights $(DEMO)/final.caffemodel --branches --by-size --out $(DEMO)
	$(PYTHON) $(TOOLS)/report.py $(DEMO) --out $(DEMO)/report.html --title "attscale demo"

# A demo that was interrupted is continued, one that was trained is only scored again; `rm -r runs/demo` has the next one train anew.
$(DEMO)/final.caffemodel: | setup
	$(PYTHON) $(TOOLS)/prepare_data.py shapes
	$(PYTHON) $(TOOLS)/train.py $(if $(shell [ -s $(DEMO)/run.json ] && echo begun),--resume $(DEMO),shapes --out $(DEMO))

# How the CRF gains by a second process, for the report; measured once, after the training.
$(DEMO)/benchmark_crf.json: | $(DEMO)/final.caffemodel
	$(PYTHON) $(TOOLS)/benchmark.py crf --rounds 2 --out $(DEMO)

# What docs/results lacks, some hours on two cores; CamVid has to be prepared before (docs/data.md).
ablation: setup
	$(PYTHON) $(TOOLS)/prepare_data.py shapes
	$(PYTHON) $(TOOLS)/ablation.py run docs/results

# For a machine with nothing else to do. What was interrupted goes on where it was; parts are measured
# again when the folders python, docker or tools have another commit, or differ from it.
bench: setup torch
	$(PYTHON) $(TOOLS)/benchmark.py all docs/benchmarks

# The Docker image, and .env: who owns the files (under sudo, who called it), and the CPU where there is no NVIDIA driver.
image:
	[ -e .env ] || { echo "ATTSCALE_USER=$${SUDO_UID:-$$(id -u)}:$${SUDO_GID:-$$(id -g)}"; [ -e /proc/driver/nvidia/version ] || cat docker/cpu.env; } > .env
	ATTSCALE_COMMIT=$$(git describe --always --abbrev=40 --dirty=+ --exclude='*' 2>/dev/null) docker compose build train

# auditwheel and its companions, at the versions of pyproject.toml, come into .venv; setup leaves them out.
wheel: setup
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[wheel]'
	rm -rf build/wheel
	$(PYTHON) docker/wheel.py build/wheel

# A worker for each core. What a file's tests have in common is made once: a worker has half of them in their order,
# and one that is done takes from the end of another's.
XDIST := --numprocesses logical --dist worksteal

test: setup
	$(PYTHON) -m pytest $(XDIST)

test-all: setup
	$(PYTHON) -m pytest $(XDIST) -m 'not docker'

test-docker: setup
	$(PYTHON) -m pytest -m docker

# SECONDS=10: so long for each reader, instead of a minute; KILLS=200: so many, instead of 20.
fuzz: setup
	$(PYTHON) tests/fuzz/run.py $(if $(SECONDS),--seconds $(SECONDS))

soak: setup
	$(PYTHON) tests/soak/run.py $(if $(KILLS),--kills $(KILLS))

lint: .venv/done
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/shellcheck docker/*.sh .ci/run
	.venv/bin/hadolint docker/Dockerfile

setup: .venv/done caffe

# The .pth file puts Caffe on the path. A package that is compiled here, pydensecrf2, asks for a Cython that does not know
# Python 3.13; without isolation it takes ours.
ifneq ($(interpreter),)
ifneq ($(realpath $(shell PATH='$(PATH)' command -v $(interpreter))),$(shell sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null))
.PHONY: .venv/done
endif
endif
.venv/done: pyproject.toml constraints.txt Makefile
	docker/dependencies.sh need $(if $(CAFFE_ROOT),python c++ patchelf)
	rm -f $@
	python=$(or $(interpreter),$$(docker/dependencies.sh python)) && \
		{ grep -sqx "executable = $$(realpath "$$(command -v "$$python")")" .venv/pyvenv.cfg || rm -rf .venv; } && "$$python" -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt Cython setuptools
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[crf,dev]'
	echo '$(CURDIR)/build/caffe/python' > $$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/attscale-caffe.pth
	touch $@

# PyTorch, which nets are tested against and benchmarks measured beside; without it those tests are skipped.
torch: .venv/done
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[bench]'

caffe: .venv/done
ifeq ($(CAFFE_ROOT),)
	docker/build_caffe.sh
else
	$(PYTHON) -c 'from attscale import cli, pycaffe; cli.run(pycaffe.tell)'
endif

prototxt: setup
	$(PYTHON) tools/make_net.py

check: setup
	$(PYTHON) tools/make_net.py --check

clean:
	rm -rf build .venv
