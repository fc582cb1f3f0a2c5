// A rendezvous that believes every join and, once there is an impostor, gives it all signals: it answers each offer itself and
// offers to the one that it was for, so that both talk to it instead of each other.
import { once } from 'node:events';
import { WebSocketServer } from 'ws';

export async function startLyingRendezvous() {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const clients = new Map();
  const providers = new Map();
  let impostor;
  const send = (socket, message) => socket?.send(JSON.stringify(message));

  function serve(socket) {
    let own = `anonymous-${clients.size}`;
    const challenge = 'A'.repeat(43);
    send(socket, { type: 'welcome', version: 1, peer: own, challenge, iceServers: [], maxAnnounced: 100 });
    socket.on('message', (data) => {
      const { to, ...message } = JSON.parse(data);
      const { type, peer = own, id, cid, cids } = message;
      if (type === 'join') clients.set((own = peer), socket);
      else if (type === 'announce') for (const one of cids) providers.set(one, own);
      else if (type === 'find') send(socket, { type: 'providers', id, cid, peers: [providers.get(cid)].filter(Boolean) });
      else if (impostor) send(impostor, { ...message, from: own, to });
      else send(clients.get(to), { ...message, from: own });
    });
  }

  server.on('connection', (socket, { url }) => {
    if (url !== '/impostor') return serve(socket);
    impostor = socket;
    socket.on('message', (data) => {
      const { to, ...message } = JSON.parse(data);
      send(clients.get(to), message);
    });
  });
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    stop() {
      server.clients.forEach((socket) => socket.terminate());
      server.close();
    },
  };
}

/** Stands between all who meet from now on, with connections of the browser's own WebRTC to both. */
export async function startImpostor(page, url) {
  await page.evaluate(async (address) => {
    const socket = new WebSocket(`${address}/impostor`);
    const sides = new Map();
    window.impostor = { offers: 0, opened: 0, carried: 0 };
    const say = (message) => socket.send(JSON.stringify(message));

    function connect(to, from, session) {
      const connection = new RTCPeerConnection();
      const channel = connection.createDataChannel('codio', { negotiated: true, id: 0, ordered: true });
      const side = { connection, channel, other: undefined, waiting: [] };
      side.described = new Promise((resolve) => (side.setDescribed = resolve));
      channel.binaryType = 'arraybuffer';
      channel.onopen = () => {
        window.impostor.opened++;
        for (const frame of side.waiting.splice(0)) channel.send(frame);
      };
      channel.onmessage = ({ data }) => {
        window.impostor.carried++;
        if (side.other.channel.readyState === 'open') side.other.channel.send(data);
        else side.other.waiting.push(data);
      };
      connection.onicecandidate = ({ candidate }) => {
        say({ type: 'candidate', to, from, session, candidate: candidate?.candidate ?? '', mid: candidate?.sdpMid ?? '' });
      };
      sides.set(`${to} ${session}`, side);
      return side;
    }

    async function describe({ connection }, type, to, from, session) {
      await connection.setLocalDescription();
      say({ type, to, from, session, sdp: connection.localDescription.sdp });
    }

    socket.onmessage = async ({ data }) => {
      const { type, from, to, session, sdp, candidate, mid } = JSON.parse(data);
      if (type === 'offer') {
        window.impostor.offers++;
        const near = connect(from, to, session);
        const far = connect(to, from, session);
        near.other = far;
        far.other = near;
        await describe(far, 'offer', to, from, session);
        await near.connection.setRemoteDescription({ type, sdp });
        near.setDescribed();
        await describe(near, 'answer', from, to, session);
        return;
      }
      const side = sides.get(`${from} ${session}`);
      if (type === 'answer') {
        await side.connection.setRemoteDescription({ type, sdp });
        side.setDescribed();
      } else if (candidate) {
        await side.described;
        await side.connection.addIceCandidate({ candidate, sdpMid: mid });
      }
    };
    await new Promise((resolve) => (socket.onopen = resolve));
  }, url);
}
