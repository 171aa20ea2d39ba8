export interface ZipFile {
  readonly name: string;
  /** Bytes that it unpacks to, as the archive says. */
  readonly size: number;
  readonly read: () => Promise<Buffer>;
}

/**
 * The files of a zip archive, in the order of its directory.
 *
 * @param password of those that are encrypted
 * @throws Error of the library if it is none, or is damaged
 */
export async function zipFiles(archive: Uint8Array, password?: string): Promise<ZipFile[]> {
  // Loaded when needed: it is large, and few commands read archives.
  const { configure, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } = await import('@zip.js/zip.js');
  configure({ useWebWorkers: false });
  const reader = new Uint8ArrayReader(archive);
  const zip = new ZipReader(reader, password === undefined ? {} : { password });
  return (await zip.getEntries())
    .filter((entry) => !entry.directory)
    .map((entry) => ({
      name: entry.filename,
      size: entry.uncompressedSize,
      read: async () => Buffer.from(await entry.getData(new Uint8ArrayWriter())),
    }));
}
