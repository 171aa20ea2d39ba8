export interface ZipFile {
  readonly name: string;
  readonly read: () => Promise<Buffer>;
}

/**
 * Returns the files of a zip archive, in the order of its directory.
 *
 * @throws the library's error if it is not a zip archive or is damaged; `read` also throws if a file unpacks
 *   to more than its size
 */
export async function zipFiles(archive: Uint8Array): Promise<ZipFile[]> {
  // The library is imported when needed, as it is large and few commands read archives.
  const { configure, Uint8ArrayReader, ZipReader } = await import('@zip.js/zip.js');
  configure({ useWebWorkers: false });
  const reader = new Uint8ArrayReader(archive);
  return (await new ZipReader(reader).getEntries())
    .filter((entry) => !entry.directory)
    .map((entry) => ({
      name: entry.filename,
      read: async () => {
        const windows: Uint8Array[] = [];
        let bytes = 0;
        const write = (window: Uint8Array) => {
          bytes += window.length;
          if (bytes > entry.uncompressedSize)
            throw new Error(`${entry.filename} unpacks to more than it says`);
          windows.push(window);
        };
        await entry.getData(new WritableStream({ write }));
        return Buffer.concat(windows);
      },
    }));
}
