// A client of docs/protocol.md §2 in this process, that says what a test wants.
import { once } from 'node:events';
import { WebSocket } from 'ws';

export async function connect(url) {
  const socket = new WebSocket(url, 'codio-rendezvous.1');
  const heard = [];
  const waiting = new Set();
  socket.on('error', () => {});
  socket.on('message', (data) => {
    heard.push(JSON.parse(String(data)));
    for (const check of waiting) check();
  });
  const client = {
    heard,
    closed: once(socket, 'close').then(([code]) => code),
    say: (message) => socket.send(JSON.stringify(message)),
    /** Takes the first message that is wanted, now or later. */
    hear: (wanted) =>
      new Promise((resolve) => {
        const check = () => {
          const at = heard.findIndex(wanted);
          if (at < 0) return;
          waiting.delete(check);
          resolve(heard.splice(at, 1)[0]);
        };
        waiting.add(check);
        check();
      }),
    /** Peer ids, until the last answer. */
    async find(cid) {
      const id = ++client.lastFind;
      client.say({ type: 'find', id, cid });
      const peers = [];
      for (;;) {
        const answer = await client.hear((message) => message.type === 'providers' && message.id === id);
        peers.push(...answer.peers);
        if (!answer.more) return peers;
      }
    },
    lastFind: 0,
    close: () => socket.terminate(),
  };
  await once(socket, 'open');
  client.welcome = await client.hear(({ type }) => type === 'welcome');
  client.say({ type: 'join' });
  client.id = (await client.hear(({ type }) => type === 'joined')).peer;
  return client;
}
