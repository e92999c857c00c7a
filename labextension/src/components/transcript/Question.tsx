/** The user's message: attachments, text, edit (asks again as a branch), copy. */
import { checkIcon, copyIcon, editIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { keyAction } from '../../chat/keys';
import type { IPill, IReceipt, ITurn } from '../../wire/types';
import { IconButton, TextButton } from '../buttons';
import { copyText } from '../clipboard';
import { visible } from '../markdown/safe';
import { whyOf } from '../reasons';
import { useRoom } from '../room';

export function Question({ turn }: { turn: ITurn }): JSX.Element {
  const { trans } = useRoom();
  const [editing, setEditing] = React.useState(() => unsentOf(turn) !== null);
  const done = (): void => {
    keepUnsent(turn, null);
    setEditing(false);
  };
  return (
    <div className="jp-Cellar-question">
      <PillList pills={turn.pills ?? []} receipt={turn.receipt} />
      {editing ? (
        <EditQuestion turn={turn} done={done} />
      ) : (
        <>
          <LongText text={visible(turn.text)} />
          <div className="jp-Cellar-actions">
            <CopyButton label={trans.__('Copy question')} text={turn.text} />
            <IconButton
              icon={editIcon}
              label={trans.__('Edit and ask again')}
              act={() => setEditing(true)}
            />
          </div>
        </>
      )}
    </div>
  );
}

/** A sent question that the server has not taken yet. */
export function SendingQuestion(props: {
  text: string;
  pills: readonly IPill[];
}): JSX.Element {
  return (
    <div className="jp-Cellar-question jp-mod-sending">
      <PillList pills={props.pills} />
      <LongText text={visible(props.text)} />
    </div>
  );
}

/** Lines of a question that are shown before it is folded. */
const LINES = 12;

function LongText({ text }: { text: string }): JSX.Element {
  const { trans } = useRoom();
  const [whole, setWhole] = React.useState(false);
  const long =
    text.length > 2_000 || text.split('\n', LINES + 2).length > LINES;
  return (
    <>
      <div
        className="jp-Cellar-question-text"
        data-folded={(long && !whole) || undefined}
      >
        {long && !whole ? text.slice(0, 4_000) : text}
      </div>
      {long ? (
        <button
          type="button"
          className="jp-Cellar-link"
          aria-expanded={whole}
          onClick={() => setWhole(!whole)}
        >
          {whole ? trans.__('Show less') : trans.__('Show all')}
        </button>
      ) : null}
    </>
  );
}

function PillList(props: {
  pills: readonly IPill[];
  receipt?: IReceipt;
}): JSX.Element | null {
  const { pills, receipt } = props;
  return pills.length ? (
    <ul className="jp-Cellar-sentPills">
      {pills.map((pill, index) => (
        <SentPill key={index} pill={pill} receipt={receipt} />
      ))}
    </ul>
  ) : null;
}

/** One that was gone when the question left says so: its content did not travel. */
function SentPill(props: { pill: IPill; receipt?: IReceipt }): JSX.Element {
  const { trans } = useRoom();
  const { pill, receipt } = props;
  const name = visible(pill.path || pill.label);
  const row = receipt?.parts.find(
    part =>
      part.state === 'unreadable' &&
      part.kind === pill.kind &&
      part.path === pill.path &&
      // Files and folders go by their path; of the cells of one notebook some may be gone.
      (part.label === pill.label || part.label === part.path)
  );
  if (!row) {
    return (
      <li data-kind={pill.kind} title={name}>
        {visible(pill.label)}
      </li>
    );
  }
  const why = whyOf(trans, row) || trans.__('cannot be read');
  return (
    <li className="jp-mod-gone" data-kind={pill.kind} title={`${name}\n${why}`}>
      <s>{visible(pill.label)}</s>{' '}
      <span className="jp-Cellar-pillState">{why}</span>
    </li>
  );
}

function EditQuestion(props: { turn: ITurn; done(): void }): JSX.Element {
  const { turn, done } = props;
  const { trans, store, settings } = useRoom();
  const [text, setText] = React.useState(unsentOf(turn) ?? turn.text);
  const [kept, setKept] = React.useState(true);
  React.useEffect(
    () => setKept(keepUnsent(turn, text === turn.text ? null : text)),
    [turn, text]
  );
  const [busy, setBusy] = React.useState(false);
  const area = React.useRef<HTMLTextAreaElement>(null);
  React.useEffect(() => {
    const node = area.current;
    node?.focus();
    node?.setSelectionRange(node.value.length, node.value.length);
  }, []);
  const send = async () => {
    if (text.trim() === '' || busy) {
      return;
    }
    setBusy(true);
    try {
      await store.editAndResend(turn.id, text);
      done();
    } catch (error) {
      store.notify(error);
      setBusy(false);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const action = keyAction(keyOf(event), {
      ...EDITING,
      sendWith: settings.getState().sendWith
    });
    if (action === 'send' || action === 'send-now') {
      event.preventDefault();
      void send();
    } else if (action === 'cancel-edit') {
      event.stopPropagation();
      done();
    }
  };
  return (
    <div className="jp-Cellar-edit">
      <textarea
        ref={area}
        value={text}
        rows={Math.min(12, Math.max(2, text.split('\n').length))}
        aria-label={trans.__('Edit the question')}
        onChange={event => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      {kept ? null : (
        <div className="jp-Cellar-notice jp-mod-warn" role="status">
          {trans.__('This draft is too long to be kept over a reload.')}
        </div>
      )}
      <div className="jp-Cellar-edit-actions">
        <TextButton label={trans.__('Cancel')} act={done} />
        <TextButton
          className="jp-mod-primary"
          label={trans.__('Ask again')}
          disabled={busy || text.trim() === ''}
          act={() => void send()}
        />
      </div>
    </div>
  );
}

/** What was typed over a question and not sent: this tab keeps it over a reload. */
function unsentOf(turn: ITurn): string | null {
  try {
    return window.sessionStorage.getItem(`cellar:edit:${turn.id}`);
  } catch {
    return null;
  }
}

/** False: full or forbidden. It stays as long as the box is open. */
function keepUnsent(turn: ITurn, text: string | null): boolean {
  try {
    if (text === null) {
      window.sessionStorage.removeItem(`cellar:edit:${turn.id}`);
    } else {
      window.sessionStorage.setItem(`cellar:edit:${turn.id}`, text);
    }
    return true;
  } catch {
    return text === null;
  }
}

const EDITING = {
  menu: false,
  recallable: false,
  recalling: false,
  running: false,
  editing: true
};

function keyOf(event: React.KeyboardEvent): Parameters<typeof keyAction>[0] {
  const { key, shiftKey, ctrlKey, metaKey, altKey, keyCode } = event;
  const { isComposing: composing } = event.nativeEvent;
  return {
    key,
    shiftKey,
    ctrlKey,
    metaKey,
    altKey,
    keyCode,
    isComposing: composing
  };
}

export function CopyButton(props: {
  label: string;
  text: string;
}): JSX.Element {
  const { trans } = useRoom();
  const [copied, setCopied] = React.useState(false);
  React.useEffect(() => {
    if (!copied) {
      return;
    }
    const timer = setTimeout(() => setCopied(false), 1_500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton
      icon={copied ? checkIcon : copyIcon}
      label={copied ? trans.__('Copied') : props.label}
      act={() => void copyText(props.text).then(setCopied)}
    />
  );
}
