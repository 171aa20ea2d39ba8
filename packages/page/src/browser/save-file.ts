import { h } from './dom.js';

/** Offers a file to the user, as a download. */
export function saveFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  h('a', { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
