/** Attachments as pills: what travels with the next question, each removable. */
import {
  addIcon,
  bugIcon,
  closeIcon,
  codeIcon,
  fileIcon,
  folderIcon,
  imageIcon,
  lockIcon,
  notebookIcon,
  tableRowsIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IComposerState, IUpload } from '../../chat/composer';
import { isImageItem, shownItems } from '../../chat/items';
import { isLocked } from '../../chat/features';
import { shortTokens } from '../../chat/meter';
import type { IPreviewState } from '../../chat/preview';
import type { IContextItem } from '../../chat/tokens';
import type { ContextPart, IReceiptPart, IStatus } from '../../wire/types';
import { figure } from '../figures';
import { lockOfKind } from '../locks';
import { visible } from '../markdown/safe';
import { whyOf } from '../reasons';
import { tokenWords } from '../words';

export const KIND_ICONS: Record<ContextPart['type'], LabIcon> = {
  notebook: notebookIcon,
  cells: tableRowsIcon,
  selection: codeIcon,
  file: fileIcon,
  folder: folderIcon,
  error: bugIcon,
  image: imageIcon
};

export function kindName(
  trans: TranslationBundle,
  kind: ContextPart['type']
): string {
  switch (kind) {
    case 'notebook':
      return trans.__('Notebook');
    case 'cells':
      return trans.__('Cells');
    case 'selection':
      return trans.__('Selection');
    case 'file':
      return trans.__('File');
    case 'folder':
      return trans.__('Folder');
    case 'error':
      return trans.__('Error');
    case 'image':
      return trans.__('Image');
  }
}

export interface IPillsProps {
  trans: TranslationBundle;
  state: IComposerState;
  preview: IPreviewState;
  status: IStatus | null;
  /** the chosen model reads pictures; undefined: nobody knows */
  vision: boolean | undefined;
  remove(key: string): void;
  restore(key: string): void;
  dismissUpload(upload: IUpload): void;
}

export function Pills(props: IPillsProps): JSX.Element | null {
  const { trans, state } = props;
  const shown = shownItems(state);
  const off = state.automatic.filter(
    item => state.dismissed.has(item.key) && !isLocked(state.off, item.kind)
  );
  if (!shown.length && !off.length && !state.uploads.length) {
    return null;
  }
  return (
    <ul
      className="jp-Cellar-pills"
      aria-label={trans.__('Context of the next question')}
    >
      {shown.map(item => (
        <Pill key={item.key} {...props} item={item} />
      ))}
      {off.map(item => (
        <OffPill key={item.key} {...props} item={item} />
      ))}
      {state.uploads.map(upload => (
        <UploadPill key={upload.id} {...props} upload={upload} />
      ))}
    </ul>
  );
}

type Condition = 'fine' | 'locked' | 'cut' | 'left-out' | 'gone' | 'unseen';

function conditionOf(
  item: IContextItem,
  row: IReceiptPart | undefined,
  props: IPillsProps
): Condition {
  if (isLocked(props.state.off, item.kind)) {
    return 'locked';
  }
  if (props.preview.gone.has(item.key)) {
    return 'gone';
  }
  const picture = item.kind === 'image' || row?.kind === 'image';
  if (picture && props.vision === false) {
    return 'unseen';
  }
  switch (row?.state) {
    case 'cut':
      return 'cut';
    case 'left_out':
      return 'left-out';
    case 'unreadable':
      return 'gone';
    default:
      return 'fine';
  }
}

function conditionWords(
  { trans, status, preview }: IPillsProps,
  item: IContextItem,
  condition: Condition
): string {
  switch (condition) {
    case 'fine':
      return '';
    case 'locked':
      return lockOfKind(trans, status, item.kind) ?? '';
    case 'cut':
      return trans.__('cut to fit');
    case 'left-out':
      return trans.__('does not fit');
    case 'gone':
      return preview.gone.has(item.key)
        ? trans.__('no longer there')
        : trans.__('cannot be read');
    case 'unseen':
      return trans.__('this model cannot see pictures');
  }
}

function tooltipOf(
  trans: TranslationBundle,
  item: IContextItem,
  row: IReceiptPart | undefined,
  words: string
): string {
  const masked = row?.masked ?? 0;
  const unread = row?.state === 'unreadable';
  const why = row ? whyOf(trans, row) : '';
  return [
    `${kindName(trans, item.kind)}: ${visible(item.path ?? item.label)}`,
    item.auto ? trans.__('Added by itself because it is open') : '',
    row && !unread ? tokenWords(trans, row.tokens ?? 0) : '',
    row?.left_out_tokens
      ? trans._n(
          '%2 token left out',
          '%2 tokens left out',
          row.left_out_tokens,
          figure(row.left_out_tokens)
        )
      : '',
    why,
    masked > 0 ? trans._n('%1 secret masked', '%1 secrets masked', masked) : '',
    unread && why !== '' ? '' : words
  ]
    .filter(line => line !== '')
    .join('\n');
}

function Pill(props: IPillsProps & { item: IContextItem }): JSX.Element {
  const { trans, item, preview, remove } = props;
  const row = preview.rows.get(item.key);
  const condition = conditionOf(item, row, props);
  const words = conditionWords(props, item, condition);
  const Icon = KIND_ICONS[item.kind];
  return (
    <li
      className={`jp-Cellar-pill jp-mod-${condition} ${item.auto ? 'jp-mod-auto' : ''}`}
      title={tooltipOf(trans, item, row, words)}
      data-key={item.key}
    >
      {isImageItem(item) ? (
        <img
          className="jp-Cellar-pillImage"
          src={`data:${item.image.image.mime};base64,${item.image.image.data}`}
          alt=""
        />
      ) : (
        <Icon.react tag="span" className="jp-Cellar-pillIcon" />
      )}
      <span className="jp-Cellar-pillLabel">{visible(item.label)}</span>
      {condition === 'locked' ? (
        <lockIcon.react tag="span" className="jp-Cellar-pillIcon" />
      ) : null}
      {row?.masked ? (
        <span className="jp-Cellar-pillMasked" aria-hidden="true">
          ••
        </span>
      ) : null}
      {words !== '' ? (
        <span className="jp-Cellar-pillState">{words}</span>
      ) : row?.tokens ? (
        <span className="jp-Cellar-pillTokens" aria-hidden="true">
          {shortTokens(row.tokens)}
        </span>
      ) : null}
      <button
        type="button"
        className="jp-Cellar-pillButton"
        title={trans.__('Remove')}
        aria-label={trans.__('Remove %1', item.label)}
        onClick={() => remove(item.key)}
      >
        <closeIcon.react tag="span" />
      </button>
    </li>
  );
}

function OffPill(props: IPillsProps & { item: IContextItem }): JSX.Element {
  const { trans, item, restore } = props;
  const label = trans.__('Add %1 again', item.label);
  return (
    <li className="jp-Cellar-pill jp-mod-off">
      <button
        type="button"
        className="jp-Cellar-pillRestore"
        title={label}
        aria-label={label}
        onClick={() => restore(item.key)}
      >
        <addIcon.react tag="span" className="jp-Cellar-pillIcon" />
        <span className="jp-Cellar-pillLabel">{visible(item.label)}</span>
      </button>
    </li>
  );
}

function UploadPill(props: IPillsProps & { upload: IUpload }): JSX.Element {
  const { trans, upload, dismissUpload } = props;
  const failed = upload.error !== null;
  return (
    <li
      className={`jp-Cellar-pill jp-mod-upload ${failed ? 'jp-mod-gone' : ''}`}
      title={upload.error ?? trans.__('Uploading %1', upload.name)}
      role={failed ? 'alert' : undefined}
    >
      <span className="jp-Cellar-pillLabel">{upload.name}</span>
      {failed ? (
        <>
          <span className="jp-Cellar-pillState">{upload.error}</span>
          <button
            type="button"
            className="jp-Cellar-pillButton"
            aria-label={trans.__('Dismiss')}
            title={trans.__('Dismiss')}
            onClick={() => dismissUpload(upload)}
          >
            <closeIcon.react tag="span" />
          </button>
        </>
      ) : (
        <progress
          max={1}
          value={upload.progress}
          aria-label={trans.__('Uploading %1', upload.name)}
        />
      )}
    </li>
  );
}
