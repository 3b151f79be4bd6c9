#!/usr/bin/env bash
# "make up": a cluster on this machine with the guestbook on it.
set -euo pipefail
cd "$(dirname "$0")/.."
skiff=bin/skiff

if ! command -v curl >/dev/null; then
  echo "installing curl, to ask the guestbook"
  { apt-get install -y -q curl || { apt-get update -q && apt-get install -y -q curl; }; } >/dev/null
fi

echo "starting a cluster (skiff up)"
$skiff up
export KUBECONFIG=/var/lib/skiff/default/admin.kubeconfig

echo "loading the guestbook's images (skiff image load)"
$skiff image load bin/images/guestbook.tar | sed 's/^/  /'

echo "applying samples/guestbook/guestbook.yaml"
$skiff kubectl apply -f samples/guestbook/guestbook.yaml | sed 's/^/  /'
for deployment in guestbook-store guestbook-web; do
  $skiff kubectl rollout status "deployment/$deployment" --timeout=60s | tail -1 | sed 's/^/  /'
done

node=$($skiff kubectl get nodes -o jsonpath='{.items[0].status.addresses[0].address}')
port=$($skiff kubectl get service guestbook-web -o jsonpath='{.spec.ports[0].nodePort}')
echo "asking the guestbook at http://$node:$port/api"
answer=$(curl --silent --show-error --fail --max-time 5 --retry 10 --retry-all-errors --retry-delay 1 "http://$node:$port/api")
echo "  $answer"

cat <<END

The cluster is up, and the guestbook answers. Try next:
  $skiff kubectl get pods -o wide
  $skiff kubectl logs deployment/guestbook-web
  $skiff kubectl scale deployment/guestbook-web --replicas=5
  curl http://$node:$port/
  $skiff status
  make down
END
