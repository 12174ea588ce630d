#!/usr/bin/env bash
# Run a command so that the portal takes it for the sandboxed app APP_ID: a Flatpak-looking root, no Flatpak needed.
#   in_a_sandbox.sh APP_ID FOLDER KEPT:KEPT:... COMMAND...    KEPT: folders that the command needs as they are
set -euo pipefail
[ "${INSIDE:-}" ] || INSIDE=1 exec unshare -m bash "$0" "$@"
app=$1 folder=$2 kept=$3
shift 3
mkdir -p "$folder"
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
printf '[Application]\nname=%s\nruntime=runtime/x/x86_64/1\n[Instance]\ninstance-id=4242\n[Context]\nshared=network;\n' \
  "$app" >"$folder/root/.flatpak-info"
IFS=: read -ra folders <<<"$kept"
for each in /proc /dev "${folders[@]}"; do
  mkdir -p "$folder/root$each"
  mount --rbind "$each" "$folder/root$each"
done
exec chroot "$folder/root" "$@"
