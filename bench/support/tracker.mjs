// bittorrent-tracker's server for WebSockets, in a process of its own. Prints its port.
import Server from 'bittorrent-tracker/server';

const server = new Server({ udp: false, http: false, ws: true, stats: false, interval: 120_000 });
server.on('error', (error) => {
  throw error;
});
server.on('warning', () => {});
server.listen(0, '127.0.0.1', () => console.log(server.ws.address().port));
