// Peers that reach each other through a TURN server only, with credentials that the node makes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, sha256, uploadRandom } from './support/cdn.mjs';
import { program, startNode } from './support/node.mjs';
import { connect } from './support/rendezvous-client.mjs';
import { ownAddress, skipWithoutPrograms, startTurn } from './support/services.mjs';

const skip = skipWithoutPrograms('turnserver') || (!ownAddress() && 'this machine has no address but loopback');
const film = randomBytes(2_000_000);
const secret = 'north';

describe('A TURN server that shares a secret with the node', { skip }, () => {
  const folder = mkdtempSync(joinPath(tmpdir(), 'codio-e2e-'));
  const secretFile = joinPath(folder, 'secret');
  let turn;
  let node;
  before(async () => {
    writeFileSync(secretFile, `${secret}\n`);
    chmodSync(secretFile, 0o600);
    turn = await startTurn(secret);
    node = await startNode({ film }, [], ['--ice-server', turn.url, '--turn-secret-file', secretFile, '--relay-only']);
  });
  after(async () => {
    await closeBrowsers();
    await node?.stop();
    await turn?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** That coturn will accept them, until when. */
  function check([{ urls, username, credential }]) {
    assert.deepEqual(urls, [turn.url]);
    assert.equal(credential, createHmac('sha1', secret).update(username).digest('base64'));
    return Number(username.split(':')[0]) - Date.now() / 1000;
  }

  test('Clients and the descriptor are given credentials that expire', async () => {
    const client = await connect(node.rendezvous);
    const { iceServers } = await (await fetch(`${node.http}/.well-known/codio`)).json();
    for (const servers of [client.welcome.iceServers, iceServers]) {
      const left = check(servers);
      assert.ok(left > 11 * 3600 && left <= 12 * 3600, `${left} s`);
    }
    client.close();
  });

  test('They are replaced before they expire', async () => {
    const options = ['--ice-server', turn.url, '--turn-secret-file', secretFile, '--turn-lifetime', '4'];
    const brief = await startNode({}, [], options);
    const client = await connect(brief.rendezvous);
    const first = client.welcome.iceServers;
    const { iceServers: second } = await client.hear(({ type }) => type === 'ice-servers');
    assert.ok(check(second) > 2);
    assert.notEqual(second[0].username, first[0].username);
    const { iceServers } = await (await fetch(`${brief.http}/.well-known/codio`)).json();
    assert.ok(check(iceServers) > 0);
    client.close();
    await brief.stop();
  });

  test('Native peers connect through it', async () => {
    const output = joinPath(folder, 'got');
    const words = ['get', node.roots[0].cid, '-o', output, '--repo', joinPath(folder, 'repo'), '--no-gateway'];
    await promisify(execFile)(program, [...words, '--rendezvous', node.rendezvous, '--relay-only'], { timeout: 60_000 });
    assert.deepEqual(readFileSync(output), film);
  });

  test('A secret that others may read, or none, is refused with what to do', async () => {
    chmodSync(secretFile, 0o644);
    const words = ['serve', '--repo', joinPath(folder, 'other'), '--http', '127.0.0.1:0', '--turn-secret-file'];
    const refused = (file) => assert.rejects(promisify(execFile)(program, [...words, file]), { code: 1 });
    try {
      await refused(secretFile);
      await refused(joinPath(folder, 'missing'));
    } finally {
      chmodSync(secretFile, 0o600);
    }
  });

  for (const browser of ['chromium', 'firefox']) {
    test(`A ${browser} connects through it to a tab and to the node`, { skip: skipWithout(browser) }, async () => {
      const tabs = await Promise.all([0, 1].map(() => openTab(browser, node.http)));
      for (const tab of tabs) {
        await tab.evaluate(() => {
          window.connections = [];
          window.RTCPeerConnection = class extends RTCPeerConnection {
            constructor(...given) {
              super(...given);
              window.connections.push(this);
            }
          };
        });
        await join(tab, { gateways: [], iceTransportPolicy: 'relay' });
      }
      const [seeder, viewer] = tabs;
      const { cid, hash } = await uploadRandom(seeder, 1_000_000);
      await eventually(async () => {
        const got = await download(viewer, cid);
        assert.equal(got.hash, hash, got.error);
      });
      assert.equal((await download(viewer, node.roots[0].cid)).hash, sha256(film));
      const kinds = await viewer.evaluate(async () => {
        const found = new Set();
        for (const connection of window.connections) {
          const reports = await connection.getStats();
          for (const pair of reports.values()) {
            if (pair.type !== 'candidate-pair' || pair.state !== 'succeeded') continue;
            found.add(reports.get(pair.localCandidateId).candidateType);
          }
        }
        return [...found];
      });
      assert.deepEqual(kinds, ['relay']);
      await Promise.all(tabs.map((tab) => tab.context().close()));
    });
  }
});
