#!/bin/sh
# Installs what the Java SDKs need: a JDK and Maven, which fetches the SDKs themselves. Idempotent and quiet.
set -eu
command -v javac >/dev/null && command -v mvn >/dev/null && exit 0
root=
[ "$(id -u)" -eq 0 ] || root=sudo
$root apt-get update -qq >/dev/null
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jdk-headless maven >/dev/null
