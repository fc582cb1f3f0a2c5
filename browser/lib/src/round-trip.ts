/** Milliseconds that the connection measured lately; nothing if it has not. */
export async function roundTripOf(connection: RTCPeerConnection): Promise<number | undefined> {
  const stats = await connection.getStats().catch(() => undefined);
  let found: number | undefined;
  stats?.forEach((one: { type: string; nominated?: boolean; state?: string; currentRoundTripTime?: number }) => {
    if (one.type !== 'candidate-pair' || one.state !== 'succeeded' || one.currentRoundTripTime === undefined) return;
    if (found === undefined || one.nominated) found = 1000 * one.currentRoundTripTime;
  });
  return found;
}
