#!/usr/bin/env bash
# What `docker compose run SERVICE ARGUMENTS` runs: a command of tools/, in /work, where data, runs and weights are.
set -euo pipefail

app=/app
action=${1:-help}
shift || true
if [ "$action" != health ] && [ "$action" != help ] && ! [ -w /work ]; then
  echo "error: this folder belongs to user $(stat -c %u:%g /work), the container runs as $(id -u):$(id -g);" \
    "put the line ATTSCALE_USER=$(stat -c %u:%g /work) into .env" >&2
  exit 1
fi

case $action in
  test)
    # the newest finished run of an experiment, scored
    name=$(python -c 'import sys; from attscale import experiments; print(experiments.find(sys.argv[1]).name)' "${1:?name an experiment}" 2>&1) ||
      { echo "error: ${name##*: }" >&2; exit 1; }
    weights=$([ ! -d "runs/$name" ] || find "runs/$name" -mindepth 2 -maxdepth 2 -name final.caffemodel -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
    [ -n "$weights" ] || { echo "error: runs/$name has no finished run; docker compose run train $1" >&2; exit 1; }
    exec python "$app/tools/evaluate.py" "$1" --weights "$weights" "${@:2}"
    ;;
  demo)
    # everything is set up in the image: -o setup has make believe so
    exec make --no-print-directory -f "$app/Makefile" -o setup VENV=/opt/venv TOOLS="$app/tools" demo
    ;;
  health)
    # where Caffe was built for GPUs, whether one can be seen, which takes none of its memory; else a forward pass
    exec python - "$app/docker/health.prototxt" <<'END'
import sys, caffe
from attscale.machine import build, device
if build.built_with("cuda"):
    device.demand((0,))
else:
    caffe.Net(sys.argv[1], caffe.TEST).forward()
END
    ;;
  shell)
    exec bash "$@"
    ;;
  *)
    [[ ! $action =~ ^[a-z_]+$ || ! -f $app/tools/$action.py ]] || exec python "$app/tools/$action.py" "$@"
    echo "services: train test predict crf evaluate demo shell, and any command of tools/; see README.md" >&2
    [ "$action" = help ] || { echo "error: unknown command '$action'" >&2; exit 1; }
    ;;
esac
