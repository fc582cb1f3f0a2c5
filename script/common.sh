# Sourced by the other scripts: strict mode, the checkout's root as the working folder, and --help, which is the caller's head
# comment.
set -euo pipefail
if [[ ${1-} == -h || ${1-} == --help ]]; then
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
  exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PWD/build/tools/bin:$PATH  # see script/setup

say() { printf '\n== %s\n' "$*" >&2; }

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
