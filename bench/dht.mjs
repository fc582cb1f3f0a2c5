// A DHT of 64 nodes: bench/dht_network.cc does it.
//
// usage: node bench/dht.mjs
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = process.env.DHT_NETWORK ?? fileURLToPath(new URL('../build/bench/dht_network', import.meta.url));
process.stdout.write(execFileSync(program, { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }));
