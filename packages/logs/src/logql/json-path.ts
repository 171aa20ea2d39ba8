const PART = /\.?([\p{L}_][\p{L}\p{N}_]*)|\[\s*(\d+)\s*\]|\[\s*("(?:[^"\\]|\\.)*")\s*\]/guy;

/** Splits `a.b[0]["c d"]` into keys and indexes; null for anything else. */
export function parseJsonPath(path: string): (string | number)[] | null {
  const text = path.trim();
  const parts: (string | number)[] = [];
  let at = 0;
  for (const [part, name, index, quoted = ''] of text.matchAll(PART)) {
    const isDotted = part.startsWith('.');
    if (name !== undefined && isDotted !== at > 0) return null;
    parts.push(index !== undefined ? Number(index) : (name ?? unquoted(quoted)));
    at += part.length;
  }
  return at === text.length && at > 0 ? parts : null;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, '$1');
}
