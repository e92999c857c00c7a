/**
 * From the computer into the workspace, through Jupyter's contents API: in pieces,
 * with progress, and never over a file that is there without asking.
 */
import type { Contents } from '@jupyterlab/services';

/** The part of the contents API that is used. */
export type IWorkspaceFiles = Pick<Contents.IManager, 'get' | 'save'>;

export type Overwrite = 'overwrite' | 'keep-both' | 'cancel';

export interface IUploadOptions {
  files: IWorkspaceFiles;
  /** relative to the server's root; '' is the root */
  folder: string;
  file: File;
  /** asked when the name is taken */
  ask(path: string): Promise<Overwrite>;
  /** 0 to 1 */
  progress(share: number): void;
}

/** Bytes per request: what JupyterLab's own file browser sends. */
const PIECE = 1024 * 1024;

/** The path it got, or null when the user cancelled. */
export async function upload(options: IUploadOptions): Promise<string | null> {
  const { files, folder, file } = options;
  const listing = await files.get(folder, { content: true });
  const isTaken = (name: string): Promise<boolean> | boolean =>
    taken(files, listing, join(folder, name));
  let path = join(folder, file.name);
  if (await isTaken(file.name)) {
    const answer = await options.ask(path);
    if (answer === 'cancel') {
      return null;
    }
    if (answer === 'keep-both') {
      path = join(folder, await freeName(file.name, isTaken));
    }
  }
  const pieces = Math.max(1, Math.ceil(file.size / PIECE));
  for (let index = 0; index < pieces; index++) {
    const piece = file.slice(index * PIECE, (index + 1) * PIECE);
    const content = await base64(piece);
    await files.save(path, {
      type: 'file',
      format: 'base64',
      name: path.split('/').pop(),
      content,
      // Jupyter's protocol: numbered from 1, the last piece is -1; a small file has none.
      ...(pieces > 1 ? { chunk: index === pieces - 1 ? -1 : index + 1 } : {})
    });
    options.progress((index + 1) / pieces);
  }
  return path;
}

function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Of a refusal of the contents API; undefined: it was none. */
export function statusOf(error: unknown): number | undefined {
  return (error as { response?: { status?: number } }).response?.status;
}

/** What Jupyter lists in no folder (its `hide_globs`, and hidden files). */
const UNLISTED = /^\.|~$|\.py[co]$|^__pycache__$/;

/**
 * The listing of the folder says it. Only where it cannot know is the name itself
 * asked for, since a browser writes each 404 into its console: a name that is never
 * listed, or one that a file system of another kind takes for a listed one.
 */
function taken(
  files: IWorkspaceFiles,
  listing: Contents.IModel,
  path: string
): Promise<boolean> | boolean {
  const name = path.split('/').pop() ?? '';
  const listed = (listing.content as Contents.IModel[]).map(each => each.name);
  if (listed.includes(name)) {
    return true;
  }
  const doubtful =
    UNLISTED.test(name) || listed.map(folded).includes(folded(name));
  return doubtful && exists(files, path);
}

function folded(name: string): string {
  return name.normalize('NFC').toLowerCase();
}

async function exists(files: IWorkspaceFiles, path: string): Promise<boolean> {
  try {
    await files.get(path, { content: false });
    return true;
  } catch (error) {
    if (statusOf(error) === 404) {
      return false;
    }
    throw error;
  }
}

async function freeName(
  name: string,
  isTaken: (name: string) => Promise<boolean> | boolean
): Promise<string> {
  const dot = name.lastIndexOf('.');
  const cut = dot > 0 ? dot : name.length;
  for (let number = 1; ; number++) {
    const other = `${name.slice(0, cut)} (${number})${name.slice(cut)}`;
    if (!(await isTaken(other))) {
      return other;
    }
  }
}

/** Base64 without a data: prefix. */
export function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const url = String(reader.result);
      resolve(url.slice(url.indexOf(',') + 1));
    };
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
