/** The list of conversations: search, open, rename, export, delete. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { deleteIcon, editIcon, searchIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { askToNotify, canNotify } from '../../chat/attention';
import type { ChatStore } from '../../chat/store';
import type { IConversationSummary } from '../../wire/types';
import { visible } from '../markdown/safe';
import { Export } from './Export';
import { IconButton } from '../buttons';
import { TitleField } from './Title';
import { ago, bytes } from './words';

export interface INotifySetting {
  on: boolean;
  change(on: boolean): void;
}

export interface IHistoryProps {
  trans: TranslationBundle;
  store: ChatStore;
  /** back to the conversation; it may be another one now */
  close(): void;
  /** the setting, and what changes it; left out: notifications cannot be had here */
  notify?: INotifySetting;
}

/** Milliseconds of rest before the server searches. */
const SEARCH_REST = 200;

export function History(props: IHistoryProps): JSX.Element {
  const { trans, store, close } = props;
  const state = React.useSyncExternalStore(store.subscribe, store.getState);
  const [query, setQuery] = React.useState('');
  const { found, failed } = useSearch(store, query, state.conversations);
  const rows = query.trim() === '' ? state.conversations : found;
  const list = React.useRef<HTMLUListElement>(null);
  // Other tabs, and what runs without being shown, change the list unseen.
  React.useEffect(() => void store.refreshConversations(), [store]);
  return (
    <section
      className="jp-Cellar-history"
      aria-label={trans.__('Conversations')}
      onKeyDown={event => {
        if (event.nativeEvent.isComposing || event.keyCode === 229) {
          return;
        }
        if (event.key === 'Escape') {
          event.preventDefault();
          event.stopPropagation();
          close();
        }
        moveFocus(event, list.current);
      }}
    >
      <div className="jp-Cellar-search">
        <searchIcon.react tag="span" />
        <input
          type="search"
          autoFocus
          value={query}
          placeholder={trans.__('Search titles and texts')}
          aria-label={trans.__('Search titles and texts')}
          onChange={event => setQuery(event.target.value)}
        />
      </div>
      <div role="status" className="jp-Cellar-historyNote">
        {noteOf(trans, query, rows, failed, state.conversationsLoaded)}
      </div>
      <ul ref={list}>
        {(rows ?? []).map(row => (
          <Row
            key={row.id}
            {...props}
            row={row}
            shown={row.id === state.conversationId}
            unseen={state.unseen.has(row.id)}
          />
        ))}
      </ul>
      {props.notify ? (
        <NotifyChoice trans={trans} notify={props.notify} />
      ) : null}
    </section>
  );
}

/** The click is where the browser lets us ask for permission. */
function NotifyChoice(props: {
  trans: TranslationBundle;
  notify: INotifySetting;
}): JSX.Element | null {
  const { trans, notify } = props;
  if (!canNotify()) {
    return null;
  }
  const change = async (on: boolean): Promise<void> => {
    notify.change(on && (await askToNotify()));
  };
  return (
    <label className="jp-Cellar-historyFoot">
      <input
        type="checkbox"
        checked={notify.on}
        onChange={event => void change(event.target.checked)}
      />
      {trans.__('Notify me when an answer ends in a hidden tab')}
    </label>
  );
}

function noteOf(
  trans: TranslationBundle,
  query: string,
  rows: readonly IConversationSummary[] | null,
  failed: boolean,
  loaded: boolean
): string {
  if (failed) {
    return trans.__('The search did not work. Try again.');
  }
  if (rows === null || !loaded) {
    return trans.__('Searching…');
  }
  if (query.trim() !== '') {
    return rows.length
      ? trans._n('%1 conversation found', '%1 conversations found', rows.length)
      : trans.__('Nothing found');
  }
  return rows.length ? '' : trans.__('No conversations yet.');
}

function useSearch(
  store: ChatStore,
  query: string,
  conversations: readonly IConversationSummary[]
): { found: readonly IConversationSummary[] | null; failed: boolean } {
  const [found, setFound] = React.useState<
    readonly IConversationSummary[] | null
  >(null);
  const [failed, setFailed] = React.useState(false);
  const wanted = query.trim();
  React.useEffect(() => {
    setFailed(false);
    if (wanted === '') {
      setFound(null);
      return;
    }
    let late = false;
    const timer = setTimeout(() => {
      store.search(wanted).then(
        rows => !late && setFound(rows),
        () => !late && setFailed(true)
      );
    }, SEARCH_REST);
    return () => {
      late = true;
      clearTimeout(timer);
    };
    // A renamed or deleted conversation is searched anew.
  }, [store, wanted, conversations]);
  return { found, failed };
}

/** Arrow keys walk the rows; from the search field down into them. */
function moveFocus(
  event: React.KeyboardEvent,
  list: HTMLUListElement | null
): void {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  const target = event.target as HTMLElement;
  const usable =
    target.closest('.jp-Cellar-search, .jp-Cellar-historyOpen') !== null;
  if (!list || step === 0 || !usable) {
    return;
  }
  const rows = [
    ...list.querySelectorAll<HTMLElement>('.jp-Cellar-historyOpen')
  ];
  const at = rows.findIndex(row => row === document.activeElement) + step;
  event.preventDefault();
  if (at < 0) {
    list.parentElement?.querySelector<HTMLElement>('input')?.focus();
  } else {
    rows[Math.min(at, rows.length - 1)]?.focus();
  }
}

interface IRowProps extends IHistoryProps {
  row: IConversationSummary;
  shown: boolean;
  /** an answer ended there that nobody has seen */
  unseen: boolean;
}

function Row(props: IRowProps): JSX.Element {
  const { trans, store, row, shown, unseen, close } = props;
  const [renaming, setRenaming] = React.useState(false);
  const title = visible(row.title) || trans.__('Untitled');
  const open = (): void => {
    if (!shown) {
      void store.open(row.id);
    }
    close();
  };
  return (
    <li
      className={`jp-Cellar-historyRow ${shown ? 'jp-mod-shown' : ''}`}
      data-conversation={row.id}
    >
      {renaming ? (
        <TitleField
          trans={trans}
          title={title}
          done={text => {
            setRenaming(false);
            if (text !== null) {
              void store.rename(row.id, text);
            }
          }}
        />
      ) : (
        <button
          type="button"
          className="jp-Cellar-historyOpen"
          aria-current={shown ? 'true' : undefined}
          onClick={open}
          onKeyDown={event => {
            if (event.key === 'F2') {
              setRenaming(true);
            } else if (event.key === 'Delete') {
              void confirmDelete(trans, store, row, title);
            }
          }}
        >
          <Lines trans={trans} row={row} title={title} unseen={unseen} />
        </button>
      )}
      <span className="jp-Cellar-historyActions">
        <IconButton
          icon={editIcon}
          label={trans.__('Rename %1', title)}
          act={() => setRenaming(true)}
        />
        <Export trans={trans} store={store} id={row.id} title={title} />
        <IconButton
          icon={deleteIcon}
          label={trans.__('Delete %1', title)}
          act={() => void confirmDelete(trans, store, row, title)}
        />
      </span>
    </li>
  );
}

function Lines(props: {
  trans: TranslationBundle;
  row: IConversationSummary;
  title: string;
  unseen: boolean;
}): JSX.Element {
  const { trans, row, title, unseen } = props;
  return (
    <>
      <span
        className={`jp-Cellar-historyTitle ${unseen ? 'jp-mod-unseen' : ''}`}
        title={title}
      >
        {unseen && !row.running ? (
          <span
            className="jp-Cellar-unseenMark"
            role="img"
            aria-label={trans.__('New answer')}
            title={trans.__('New answer')}
          />
        ) : null}
        {row.running ? (
          <span
            className="jp-Cellar-running"
            role="img"
            aria-label={trans.__('An answer is being written')}
            title={trans.__('An answer is being written')}
          />
        ) : null}
        {title}
      </span>
      <small>
        <time dateTime={new Date(row.updated * 1000).toISOString()}>
          {ago(trans, row.updated)}
        </time>
        {' · '}
        {trans._n('%1 question', '%1 questions', row.turns)}
      </small>
      {row.excerpt ? (
        <span className="jp-Cellar-excerpt">{row.excerpt}</span>
      ) : null}
    </>
  );
}

async function confirmDelete(
  trans: TranslationBundle,
  store: ChatStore,
  row: IConversationSummary,
  title: string
): Promise<void> {
  const what = trans._n('%1 question', '%1 questions', row.turns);
  const result = await showDialog<void>({
    title: trans.__('Delete “%1”?', title),
    body: row.size
      ? trans.__('%1, %2. This cannot be undone.', what, bytes(row.size))
      : trans.__('%1. This cannot be undone.', what),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({ label: trans.__('Delete') })
    ],
    defaultButton: 0
  });
  if (result.button.accept) {
    await store.deleteConversation(row.id);
  }
}
