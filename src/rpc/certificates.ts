import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import { TrainerError } from '../errors.js';
import { makeFolders } from '../os/make-folder.js';
import { CLUSTER_NAME, randomToken } from './security.js';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Allowed difference between the clocks of a cluster. */
const CLOCK_SKEW_MS = 3_600_000;
const SECRET = 0o600;
const PUBLIC = 0o644;

type Keys = webcrypto.CryptoKeyPair;

/**
 * Creates a cluster's credentials: an authority, one certificate for all members, a join token.
 *
 * @param days how long the certificates are valid
 * @returns the paths of the files: `ca.pem`, `ca-key.pem`, `cert.pem`, `key.pem`, `token`
 * @throws TrainerError `BAD_INPUT` if one of them exists, `NO_RESOURCE` if the folder cannot be written
 */
export async function makeCertificates(directory: string, days: number): Promise<string[]> {
  x509.cryptoProvider.set(webcrypto);
  const now = Date.now();
  const validity = { notBefore: new Date(now - CLOCK_SKEW_MS), notAfter: new Date(now + days * DAY_MS) };
  const authority = await newKeys();
  const member = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${CLUSTER_NAME} authority ${randomBytes(4).toString('hex')}`,
    keys: authority,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const cert = await x509.X509CertificateGenerator.create({
    subject: `CN=${CLUSTER_NAME}`,
    issuer: ca.subject,
    publicKey: member.publicKey,
    signingKey: authority.privateKey,
    signingAlgorithm: ALGORITHM,
    ...validity,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: CLUSTER_NAME }]),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
    ],
  });
  return writeAll(directory, [
    ['ca.pem', `${ca.toString('pem')}\n`, PUBLIC],
    ['ca-key.pem', await privatePem(authority), SECRET],
    ['cert.pem', `${cert.toString('pem')}\n`, PUBLIC],
    ['key.pem', await privatePem(member), SECRET],
    ['token', `${randomToken()}\n`, SECRET],
  ]);
}

function newKeys(): Promise<Keys> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<Keys>;
}

async function privatePem({ privateKey }: Keys): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return `${x509.PemConverter.encode(der, 'PRIVATE KEY')}\n`;
}

/** Writes all files or none: on an error it removes those it has written. */
function writeAll(directory: string, files: readonly (readonly [string, string, number])[]): string[] {
  const paths = files.map(([name]) => path.join(directory, name));
  const taken = paths.find((file) => existsSync(file));
  if (taken !== undefined)
    throw new TrainerError(
      'BAD_INPUT',
      `${taken} exists and is not overwritten: members that use it would be locked out; choose another --out`,
    );
  makeFolders(directory, 0o700);
  const written: string[] = [];
  try {
    for (const [i, [, text, mode]] of files.entries()) {
      writeFileSync(paths[i]!, text, { mode, flag: 'wx' });
      written.push(paths[i]!);
    }
  } catch (error) {
    for (const file of written) rmSync(file, { force: true });
    throw error;
  }
  return paths;
}
