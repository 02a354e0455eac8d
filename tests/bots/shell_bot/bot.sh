#!/bin/sh
# A bot in shell: its session is one JSON file, its QR code a picture that it prints.
trap 'exit 0' TERM
if [ ! -s session.json ]; then
  cat picture
  while [ ! -e code ]; do sleep 0.05; done
  printf '{"device": "4711", "key": "%s"}\n' "$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" > session.json
fi
echo "Logged in as $(sed 's/.*"device": "\([0-9]*\)".*/\1/' session.json)"
while :; do sleep 0.05; done
