import { isMostlySeen, type Signature, signatureOf } from './dedup.js';
import type { DomainDocuments } from './select-documents.js';

/** A sample of 1 in 1 keeps every shingle, as few poems are long enough for a sparser one. */
const EVERY = 1;

/**
 * Leaves out the validation documents that largely occur in the training text of any domain. Deduplication
 * (`NearDuplicates`) compares each document only with earlier ones of its domain, so a short document may still be part
 * of a longer document that comes later.
 */
export function withoutSeen(domains: ReadonlyMap<string, DomainDocuments>): Map<string, DomainDocuments> {
  const heldOut = new Map(
    Array.from(domains, ([name, { validation }]) => [
      name,
      validation.map(({ text }) => signatureOf(text, EVERY)),
    ]),
  );
  // Training text has many times as many shingles as validation text, so only shingles of the latter are looked for.
  const wanted = new Set<number>();
  for (const signature of [...heldOut.values()].flat()) for (const key of keysOf(signature)) wanted.add(key);
  const seen = new Set<number>();
  for (const { train } of domains.values())
    for (const { text } of train)
      for (const key of keysOf(signatureOf(text, EVERY))) if (wanted.has(key)) seen.add(key);
  return new Map(
    Array.from(domains, ([name, documents]) => {
      const signatures = heldOut.get(name)!;
      const validation = documents.validation.filter((_, i) => {
        const [prefix, ...shingles] = keysOf(signatures[i]!);
        const numSeen = shingles.reduce((sum, key) => sum + (seen.has(key) ? 1 : 0), 0);
        return !seen.has(prefix!) && !isMostlySeen(numSeen, shingles.length);
      });
      const duplicates = documents.duplicates + documents.validation.length - validation.length;
      return [name, { ...documents, validation, duplicates }];
    }),
  );
}

/** Returns 53 bits of the prefix's hash and of each shingle's hash. */
function keysOf({ prefix: [high, low], shingles }: Signature): number[] {
  // Some bits of the prefix's hash are changed, as a prefix may be equal to a shingle.
  const keys = [keyOf(high ^ 0x155555, low)];
  for (let i = 0; i < shingles.length; i += 2) keys.push(keyOf(shingles[i]!, shingles[i + 1]!));
  return keys;
}

function keyOf(high: number, low: number): number {
  return (high & 0x1fffff) * 2 ** 32 + low;
}
