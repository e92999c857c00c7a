/** Pictures and files from the clipboard, the desktop and the computer's disk. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ComposerModel, IUpload } from '../../chat/composer';
import { fileItem, imageItem } from '../../chat/items';
import {
  base64,
  statusOf,
  upload,
  type IWorkspaceFiles,
  type Overwrite
} from '../../chat/upload';
import type { IImage } from '../../wire/types';

export interface IAttachOptions {
  trans: TranslationBundle;
  model: ComposerModel;
  files: IWorkspaceFiles;
  folder: string;
  /** why an admin locked it; null: not locked */
  locks: { images: string | null; files: string | null };
}

const IMAGE_MIMES: readonly string[] = [
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp'
] satisfies IImage['mime'][];

/** The contract takes 8,000,000 characters of base64 for one picture. */
const MAX_IMAGE_BYTES = 6_000_000;

let serial = 0;

function nextId(): number {
  return Date.now() * 100 + (serial++ % 100);
}

function isImage(file: File): file is File & { type: IImage['mime'] } {
  return IMAGE_MIMES.includes(file.type);
}

/** Pictures are attached as they are, everything else goes into the workspace first. */
export async function attachFiles(
  list: readonly File[],
  options: IAttachOptions
): Promise<void> {
  for (const file of list) {
    if (isImage(file)) {
      await attachImage(file, options);
    } else {
      await uploadFile(file, options);
    }
  }
}

/** Pictures of the clipboard, also those that cannot be sent; its text is the textarea's. */
export function picturesOf(data: DataTransfer): File[] {
  return Array.from(data.files).filter(file => file.type.startsWith('image/'));
}

/** Pasted pictures have no file to go back to: what cannot be sent is refused here. */
export async function attachPictures(
  list: readonly File[],
  options: IAttachOptions
): Promise<void> {
  const { trans, model } = options;
  for (const file of list) {
    if (isImage(file)) {
      await attachImage(file, options);
    } else {
      fail(
        model,
        file.name || trans.__('picture'),
        trans.__('Only PNG, JPEG, GIF and WebP pictures can be sent')
      );
    }
  }
}

async function attachImage(
  file: File & { type: IImage['mime'] },
  options: IAttachOptions
): Promise<void> {
  const { trans, model, locks } = options;
  const name = file.name || trans.__('picture');
  if (locks.images !== null) {
    fail(model, name, locks.images);
    return;
  }
  if (file.size > MAX_IMAGE_BYTES) {
    fail(model, name, trans.__('This picture is too large (6 MB at most)'));
    return;
  }
  if (!(await isDecodable(file))) {
    fail(model, name, trans.__('This picture is damaged, or is none'));
    return;
  }
  const data = await base64(file);
  model.add([
    imageItem(
      { type: 'image', name, image: { mime: file.type, data } },
      String(nextId())
    )
  ]);
}

/** What the browser cannot draw no model can see. */
async function isDecodable(file: File): Promise<boolean> {
  try {
    (await createImageBitmap(file)).close();
    return true;
  } catch {
    return false;
  }
}

/** Into the workspace, never over a file that is there without asking; then a pill. */
export async function uploadFile(
  file: File,
  options: IAttachOptions
): Promise<void> {
  const { trans, model, files, folder, locks } = options;
  if (locks.files !== null) {
    fail(model, file.name, locks.files);
    return;
  }
  const id = nextId();
  model.setUploads(list => [
    ...list,
    { id, name: file.name, progress: 0, error: null }
  ]);
  const change = (what: Partial<IUpload>): void =>
    model.setUploads(list =>
      list.map(row => (row.id === id ? { ...row, ...what } : row))
    );
  try {
    const path = await upload({
      files,
      folder,
      file,
      ask: taken => askOverwrite(trans, taken),
      progress: progress => change({ progress })
    });
    model.setUploads(list => list.filter(row => row.id !== id));
    if (path !== null) {
      model.add([fileItem(path)]);
    }
  } catch (error) {
    change({ error: uploadWords(trans, error) });
  }
}

/** Jupyter's contents API says what it refused in English: worded here by its status. */
function uploadWords(trans: TranslationBundle, error: unknown): string {
  if (error instanceof TypeError) {
    return trans.__('The server cannot be reached');
  }
  if (error instanceof DOMException) {
    return trans.__('The browser cannot read this file');
  }
  switch (statusOf(error)) {
    case 401:
    case 403:
      return trans.__('You may not write into this folder');
    case 404:
      return trans.__('The folder is not there any more');
    case 413:
      return trans.__('This file is larger than the server takes');
    default:
      return trans.__(
        'Could not upload: %1',
        error instanceof Error ? error.message : String(error)
      );
  }
}

function fail(model: ComposerModel, name: string, error: string): void {
  model.setUploads(list => [
    ...list,
    { id: nextId(), name, progress: 0, error }
  ]);
}

async function askOverwrite(
  trans: TranslationBundle,
  path: string
): Promise<Overwrite> {
  const result = await showDialog<void>({
    title: trans.__('%1 is there already', path),
    body: trans.__('What shall become of the file in the workspace?'),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({
        label: trans.__('Replace it'),
        actions: ['overwrite']
      }),
      Dialog.okButton({ label: trans.__('Keep both'), actions: ['keep-both'] })
    ],
    defaultButton: 2
  });
  const action = result.button.actions[0];
  return action === 'overwrite' || action === 'keep-both' ? action : 'cancel';
}
