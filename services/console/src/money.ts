// SPDX-License-Identifier: Apache-2.0
// Amounts are decimal text from the server to the screen: no digit goes through a binary fraction.

/** Dollars per token ("0.00000015") as dollars per million tokens ("0.15"). Moves the point six places. */
export function perMillion(perToken: string): string {
  const [whole = '0', fraction = ''] = perToken.split('.');
  const digits = fraction.padEnd(6, '0');
  const moved = `${whole}${digits.slice(0, 6)}`.replace(/^0+(?=\d)/, '');
  const rest = digits.slice(6).replace(/0+$/, '');
  return trimCents(rest === '' ? moved : `${moved}.${rest}`);
}

/** At least two decimals where there is a fraction: 0.6 → 0.60. */
function trimCents(text: string): string {
  const [whole = '0', fraction = ''] = text.split('.');
  return fraction === '' ? whole : `${whole}.${fraction.padEnd(2, '0')}`;
}

/** An amount as the server wrote it ("1234.5") as it is read: "$1,234.50". No digit is lost, and there are at least two decimals. */
export function dollars(amount: string): string {
  const [, sign = '', whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(amount) ?? [];
  return `${sign}$${grouped(whole)}.${fraction.padEnd(2, '0')}`;
}

/** "10550" as "10,550". */
function grouped(whole: string): string {
  return whole.replace(/\B(?=(\d{3})+$)/g, ',');
}

export function isZero(amount: string): boolean {
  return /^-?0(\.0*)?$/.test(amount);
}

/** Compares two decimal texts without a sign; for sorting. */
export function compareDecimal(a: string, b: string): number {
  const [aw = '0', af = ''] = a.split('.');
  const [bw = '0', bf = ''] = b.split('.');
  if (aw.length !== bw.length) return aw.length - bw.length;
  if (aw !== bw) return aw < bw ? -1 : 1;
  const width = Math.max(af.length, bf.length);
  const x = af.padEnd(width, '0');
  const y = bf.padEnd(width, '0');
  return x === y ? 0 : x < y ? -1 : 1;
}

/** The text of a number in a JSON answer, exactly as the server wrote it. */
export function rawNumber(json: string, field: string): string | undefined {
  return new RegExp(`"${field}":(-?[0-9.]+)`).exec(json)?.[1];
}

/** JSON with every number as the text that the server wrote: {"fee":1.38} → {fee: '1.38'}. */
export function parseExact(json: string): unknown {
  return JSON.parse(
    json.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => (token.startsWith('"') ? token : `"${token}"`)),
  );
}
