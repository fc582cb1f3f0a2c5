// What a page adds to the drop-in for a download with progress: window.codio is the CodioCDN.
const address = 'codio://{{release.bin}}';
const byId = (id) => document.getElementById(id);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

const cdn = window.codio ?? (await new Promise((resolve) => addEventListener('codio-ready', ({ detail }) => resolve(detail))));
let current;

byId('start').onclick = async () => {
  current = new AbortController();
  show(true);
  try {
    const stream = cdn.stream(address, { signal: current.signal, onProgress: showProgress });
    // A Blob of this size is on the disk and not in memory.
    const blob = await new Response(stream).blob();
    byId('save').href = URL.createObjectURL(blob);
    byId('save').hidden = false;
    byId('state').textContent += ' Complete, and every block verified.';
  } catch (error) {
    byId('state').textContent += current.signal.aborted ? ' Stopped.' : ` It failed: ${error.message}.`;
  } finally {
    show(false);
  }
};
byId('stop').onclick = () => current.abort();

function show(running) {
  byId('start').disabled = running;
  byId('stop').disabled = !running;
}

function showProgress({ received, total, rate, remaining, fromStore, fromPeers, fromGateways }) {
  byId('progress').max = total;
  byId('progress').value = received;
  const sources = [`${megabytes(fromPeers)} from peers`, `${megabytes(fromGateways)} from gateways`, `${megabytes(fromStore)} were here`];
  const rest = remaining === undefined || received === total ? '' : `, ${Math.ceil(remaining / 1000)} s left`;
  byId('state').textContent = `${megabytes(received)} of ${megabytes(total)}, ${megabytes(rate)}/s${rest}: ${sources.join(', ')}.`;
}
