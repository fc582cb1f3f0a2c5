// Figures and how they are printed: Markdown, without dates, so that two runs can be compared.
import { parseArgs } from 'node:util';

export const MiB = 1_048_576;

/**
 * The command line's `--name value`s, as the defaults' types: numbers, lists with commas, and flags.
 * @template {Record<string, number | boolean | (number | string)[]>} T
 * @param {T} defaults
 * @returns {T}
 */
export function settings(defaults) {
  const isFlag = (name) => typeof defaults[name] === 'boolean';
  const { values } = parseArgs({
    options: Object.fromEntries(
      Object.keys(defaults).map((name) => [name, { type: isFlag(name) ? 'boolean' : 'string' }]),
    ),
  });
  const parse = (text, like) => (typeof like === 'number' ? Number(text) : text);
  return Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => {
      const given = values[name];
      if (given === undefined || isFlag(name)) return [name, given ?? value];
      return [name, Array.isArray(value) ? given.split(',').map((one) => parse(one, value[0])) : parse(given, value)];
    }),
  );
}

export const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
/** MiB a second. */
export const rate = (size, ms) => (size / MiB / ms) * 1000;
export const percent = (share) => `${(100 * share).toFixed(0)} %`;

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n'));
}

/** Says on the standard error what takes so long. */
export const note = (text) => process.stderr.write(`${text}\n`);
