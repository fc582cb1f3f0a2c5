// Fetches with @helia/verified-fetch what only a Delegated Routing server can find, and prints a line of JSON for each request.
//
// usage: node verified-fetch.mjs ROUTER '[{"url": "ipfs://CID/path", "headers": {}}, …]'
import { createHash } from 'node:crypto'

import { createVerifiedFetch } from '@helia/verified-fetch'

const [router, requests] = process.argv.slice(2)
const verifiedFetch = await createVerifiedFetch({ gateways: [], routers: [router], allowLocal: true, allowInsecure: true })
for (const { url, headers } of JSON.parse(requests)) {
  const response = await verifiedFetch(url, { headers })
  const body = Buffer.from(await response.arrayBuffer())
  console.log(JSON.stringify({
    status: response.status,
    type: response.headers.get('content-type'),
    range: response.headers.get('content-range'),
    size: body.length,
    hash: createHash('sha256').update(body).digest('hex'),
    text: body.length < 4096 ? body.toString() : undefined
  }))
}
await verifiedFetch.stop()
process.exit()
