import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';

/** Longer runs of address characters are not addresses. */
const MAX_ADDRESS_CHARACTERS = 45;

/** The addresses of `ip("...")`: one, a range `a-b`, or a block `a/bits`, of IPv4 or IPv6. */
export class AddressSet {
  readonly #addresses = new BlockList();

  private constructor() {}

  /** Parses the argument of `ip`; null if it is anything else. */
  static parse(text: string): AddressSet | null {
    const set = new AddressSet();
    const [first = '', second = ''] = text.split(/[/-]/).map((part) => part.trim());
    const family = isIPv6(first) ? 'ipv6' : 'ipv4';
    try {
      if (isIP(first) === 0) return null;
      if (text.includes('/')) set.#addresses.addSubnet(first, bitsOf(second), family);
      else if (!/[/-]/.test(text)) set.#addresses.addAddress(first, family);
      else if (isIP(second) === isIP(first)) set.#addresses.addRange(first, second, family);
      else return null;
    } catch {
      // The number of bits or the end of the range is invalid.
      return null;
    }
    return set;
  }

  /** Whether any address in a text is one of these. */
  isIn(text: string): boolean {
    for (const [span] of text.matchAll(/[0-9A-Fa-f:.]{2,}/g)) {
      if (span.includes(':') && span.length <= MAX_ADDRESS_CHARACTERS && isIPv6(span)) {
        if (this.#addresses.check(span, 'ipv6')) return true;
      } else
        for (const [part] of span.matchAll(/\d[\d.]+/g))
          if (part.length <= MAX_ADDRESS_CHARACTERS && isIPv4(part) && this.#addresses.check(part, 'ipv4'))
            return true;
    }
    return false;
  }
}

function bitsOf(text: string): number {
  return /^\d{1,3}$/.test(text) ? Number(text) : -1;
}
