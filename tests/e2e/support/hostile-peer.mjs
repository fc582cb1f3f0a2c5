// Peers that speak docs/protocol.md by hand, and badly. They run in a page, on nothing but the browser's own WebRTC.

/**
 * @param {'lies' | 'silent' | 'promises' | 'garbage' | 'oversize'} manner `lies`: says HAVE and sends wrong bytes;
 *   `silent`: connects and says nothing; `promises`: says HELLO and HAVE, sends nothing; `garbage`: frames of noise;
 *   `oversize`: blocks of 3 GB.
 */
export async function startHostilePeer(page, cid, manner) {
  await page.evaluate(
    async ([announced, how]) => {
      const socket = new WebSocket(`ws://${location.host}/rendezvous`, 'codio-rendezvous.1');
      const connections = new Map();
      window.hostile = { connected: 0, sent: 0, goodbyes: [] };
      const say = (message) => socket.send(JSON.stringify(message));

      const varint = (value) => (value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]);
      const packed = (ids) => [0x0a, ...varint(ids.flatMap(varint).length), ...ids.flatMap(varint)];
      const hello = [1, 0x08, 1, 0x10, ...varint(65_536), 0x18, ...varint(262_144)];
      const readVarint = (bytes, at) => {
        let value = 0;
        for (let shift = 1; ; shift *= 128) {
          const byte = bytes[at.index++];
          value += (byte & 127) * shift;
          if (byte < 128) return value;
        }
      };
      const fields = (bytes) => {
        const found = [];
        for (const at = { index: 0 }; at.index < bytes.length; ) {
          const tag = readVarint(bytes, at);
          const value = readVarint(bytes, at);
          if (tag % 8 === 0) found.push([tag >> 3, value]);
          else found.push([tag >> 3, bytes.subarray(at.index, (at.index += value))]);
        }
        return found;
      };

      function behave(channel) {
        channel.binaryType = 'arraybuffer';
        const send = (...bytes) => {
          window.hostile.sent++;
          if (channel.readyState === 'open') channel.send(new Uint8Array(bytes.flat()));
        };
        channel.onopen = () => {
          window.hostile.connected++;
          if (how === 'garbage') for (let i = 0; i < 20; i++) send(crypto.getRandomValues(new Uint8Array(50)).reduce((all, byte) => [...all, byte], [1 + (i % 8)]));
          else if (how !== 'silent') send(hello);
        };
        channel.onmessage = ({ data }) => {
          const bytes = new Uint8Array(data);
          if (bytes[0] === 8) window.hostile.goodbyes.push(Object.fromEntries(fields(bytes.subarray(1)))[1]);
          if (bytes[0] !== 2 || how === 'silent' || how === 'garbage') return;
          for (const [, entry] of fields(bytes.subarray(1))) {
            const { 1: id, 3: kind = 0 } = Object.fromEntries(fields(entry));
            if (kind === 1) send(3, packed([id]));
            else if (how === 'lies') send(5, varint(id), 0, varint(1000), new Array(1000).fill(0xbb));
            else if (how === 'oversize') send(5, varint(id), 0, varint(3e9), new Array(1000).fill(0xbb));
          }
        };
      }

      await new Promise((resolve) => {
        socket.onmessage = async ({ data }) => {
          const { type, from, session, sdp, candidate, mid } = JSON.parse(data);
          if (type === 'welcome') {
            say({ type: 'join' });
            say({ type: 'announce', cids: [announced] });
            resolve();
          } else if (type === 'offer') {
            const connection = new RTCPeerConnection();
            connections.set(session, connection);
            behave(connection.createDataChannel('codio', { negotiated: true, id: 0, ordered: true }));
            connection.onicecandidate = ({ candidate: own }) => {
              say({ type: 'candidate', to: from, session, candidate: own?.candidate ?? '', mid: own?.sdpMid ?? '' });
            };
            connection.described = connection.setRemoteDescription({ type, sdp });
            await connection.described;
            await connection.setLocalDescription();
            say({ type: 'answer', to: from, session, sdp: connection.localDescription.sdp });
          } else if (type === 'candidate' && candidate) {
            const connection = connections.get(session);
            await connection.described;
            await connection.addIceCandidate({ candidate, sdpMid: mid });
          }
        };
      });
    },
    [cid, manner],
  );
}
