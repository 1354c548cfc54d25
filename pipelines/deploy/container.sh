#!/bin/sh
# Entry point of the image: make or update the clone on the volume, then run the command in it.
set -eu

mkdir -p "$(dirname "$CONVDEPTH_HOME")"
exec 9> "$CONVDEPTH_HOME.lock"  # containers that start at the same time share the volume
flock 9
if [ -d "$CONVDEPTH_HOME/.git" ]; then
  git -C "$CONVDEPTH_HOME" pull --quiet --ff-only ||
    echo "warning: $CONVDEPTH_HOME: cannot be updated; the container goes on with what it has" >&2
else
  # Without a repository that is reached from here, runs have the commit of the image.
  git clone --quiet "${CONVDEPTH_REPOSITORY:-/opt/convdepth}" "$CONVDEPTH_HOME"
fi
exec 9>&-

# The clone may be newer than the image.
export PYTHONPATH="$CONVDEPTH_HOME/src:$CONVDEPTH_HOME"
cd "$CONVDEPTH_HOME"
exec "$@"
