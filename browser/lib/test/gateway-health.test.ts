import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GatewayHealth, type Ending, type HealthRequest } from '../src/gateway-health';

interface Step {
  at: number;
  repeat?: number;
  choose?: number[];
  hedge?: number[];
  as?: string;
  gives?: unknown;
  look?: string;
  bytes?: number;
  due?: string;
  delay?: number;
  first?: string;
  busy?: string;
  for?: number;
  end?: string;
  how?: Ending;
}

interface Case {
  name: string;
  gateways: number;
  options?: { maxPerGateway?: number; mostFailures?: number };
  steps: Step[];
}

const table = JSON.parse(readFileSync(new URL('../../../testdata/gateway-health.json', import.meta.url), 'utf8')) as {
  cases: Case[];
};
assert.ok(table.cases.length >= 20);

for (const { name, gateways, options, steps } of table.cases) {
  test(name, () => {
    const health = new GatewayHealth(gateways, options?.maxPerGateway ?? 16, options?.mostFailures);
    const requests = new Map<string, HealthRequest>();
    const request = (as: string) => {
      const found = requests.get(as);
      assert.ok(found, as);
      return found;
    };
    const keep = (as: string | undefined, choice: HealthRequest | number | undefined): unknown => {
      if (choice === undefined) return 'nobody';
      if (typeof choice === 'number') return choice === Infinity ? 'room' : { at: choice };
      requests.set(as ?? '', choice);
      return choice.gateway;
    };
    for (const step of steps) {
      for (let i = step.repeat ?? 1; i > 0; i--) {
        const said = (value: unknown) => assert.deepEqual(value, step.gives, JSON.stringify(step));
        if (step.choose) said(keep(step.as, health.choose(step.at, new Set(step.choose))));
        else if (step.hedge) said(keep(step.as, health.hedge(step.at, new Set(step.hedge))));
        else if (step.look) said(health.isLate(step.at, request(step.look), step.bytes ?? 0));
        else if (step.due) said(health.nextLook(request(step.due)));
        else if (step.delay !== undefined) said(health.hedgeDelay(step.delay));
        else if (step.first) health.firstByte(step.at, request(step.first));
        else if (step.busy) health.busy(step.at, request(step.busy), step.for ?? 0);
        else health.end(step.at, request(step.end ?? ''), step.how ?? 'cancelled');
      }
    }
  });
}
