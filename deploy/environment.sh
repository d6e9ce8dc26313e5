#!/bin/sh
# Create a virtual environment and install packages into it, for the Makefile.
#
#   PYTHON=python3 sh deploy/environment.sh FOLDER ARGUMENTS-OF-PIP-INSTALL…
#
# FOLDER is created again after an interrupted call (Ctrl-C, power loss), because pip treats a package with missing files
# as installed. The stamps (FOLDER/*.stamp) belong to the caller. They are deleted before any change, so that a stamp
# never exists for an incomplete installation.
set -eu
folder=$1
shift
unfinished=$folder/unfinished

refuse() {
  echo "$1" >&2
  exit 1
}

make_environment() {
  "${PYTHON:-none}" -c 'import ensurepip' 2>/dev/null || refuse \
    "Python 3.11, 3.12 or 3.13 with its module venv is needed. On Debian and Ubuntu: sudo apt-get install python3-venv
Elsewhere say where one is: make run PYTHON=/path/to/python3"
  case $(pwd) in
    *:*) refuse "Python makes no virtual environment in a folder with a colon in its name: rename $(pwd)" ;;
  esac
  echo "making $folder with $("$PYTHON" --version)"
  rm -rf "$folder"
  mkdir "$folder"
  : >"$unfinished"
  "$PYTHON" -m venv "$folder"
}

# With a trap, the shell waits for pip to end and then stops.
trap 'exit 130' INT TERM HUP
if [ -e "$unfinished" ] || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  make_environment
fi
rm -f "$folder"/*.stamp
: >"$unfinished"
# If pip fails, as without an internet connection, it has changed nothing.
status=0
"$folder/bin/python" -m pip --disable-pip-version-check --require-virtualenv install --progress-bar off --quiet "$@" \
  || status=$?
rm "$unfinished"
exit "$status"
