/** A frame in a page that may use the node: passes the end of a channel on to the background, which knows the node. */
addEventListener('message', ({ data, ports: [port, done] }: MessageEvent<{ token: string }>) => {
  if (!port || !done) return;
  void navigator.serviceWorker.ready.then(({ active }) => {
    active?.postMessage({ token: data.token }, [port]);
    done.postMessage(0);
  });
});
