/** The row under the text: attach, mention, model, meter, Stop and Send. */
import { imageIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IComposerState } from '../../chat/composer';
import type { IPreviewState } from '../../chat/preview';
import { IconButton } from '../buttons';
import { clipIcon, sendIcon } from '../icons';
import { lockWords } from '../locks';
import { ModelPicker } from '../modelpicker';
import { Meter } from './Meter';
import type { IComposerProps } from './props';

export interface IToolsProps extends IComposerProps {
  state: IComposerState;
  seen: IPreviewState;
  canCompact: boolean;
  attach(files: readonly File[]): void;
  mention(): void;
  send(): void;
}

export function Tools(props: IToolsProps): JSX.Element {
  const { trans, state, chat, actions } = props;
  const { receipt, tooLong } = props.seen;
  const empty = state.text.trim() === '';
  const key = props.sendWith === 'enter' ? 'Enter' : 'Ctrl+Enter';
  const sendLabel = chat.running
    ? trans.__('Send after the answer that runs (%1)', key)
    : trans.__('Send (%1)', key);
  return (
    <div className="jp-Cellar-tools">
      <Attach {...props} />
      <button
        type="button"
        className="jp-Cellar-iconButton jp-Cellar-at"
        title={trans.__('Add context (@)')}
        aria-label={trans.__('Add context (@)')}
        onClick={props.mention}
      >
        @
      </button>
      <ModelPicker
        trans={trans}
        status={chat.status}
        model={chat.model}
        lost={chat.blocked !== null}
        choose={actions.chooseModel}
      />
      <span className="jp-Cellar-spacer" />
      {receipt ? (
        <Meter
          trans={trans}
          receipt={receipt}
          tooLong={tooLong !== null}
          canCompact={props.canCompact}
          compact={actions.compact}
          newFromSummary={actions.newFromSummary}
          usage={actions.usage}
        />
      ) : null}
      {chat.running ? (
        <button
          type="button"
          className="jp-Cellar-iconButton jp-Cellar-stop"
          title={trans.__('Stop (Esc)')}
          aria-label={trans.__('Stop (Esc)')}
          onClick={() => actions.stop()}
        >
          <stopIcon.react tag="span" />
        </button>
      ) : null}
      {!chat.running || !empty ? (
        <button
          type="button"
          className="jp-Cellar-iconButton jp-Cellar-send"
          title={chat.blocked ?? sendLabel}
          aria-label={sendLabel}
          disabled={empty || chat.blocked !== null}
          onClick={props.send}
        >
          <sendIcon.react tag="span" />
        </button>
      ) : null}
    </div>
  );
}

/** From the computer; what is locked says why. */
function Attach(props: IToolsProps): JSX.Element {
  const { trans, chat, attach } = props;
  const input = React.useRef<HTMLInputElement>(null);
  const pictures = lockWords(trans, chat.status, 'images');
  return (
    <>
      <IconButton
        className="jp-Cellar-attach"
        icon={clipIcon}
        label={trans.__(
          'Attach from this computer: pictures go with the question, other files are uploaded into the workspace'
        )}
        lock={lockWords(trans, chat.status, 'attach_files')}
        act={() => input.current?.click()}
      />
      {/* They come by paste and drop, without a button that could show the lock. */}
      {pictures === null ? null : (
        <IconButton
          className="jp-Cellar-pictures"
          icon={imageIcon}
          label={trans.__('Pictures')}
          lock={pictures}
          act={() => undefined}
        />
      )}
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-hidden="true"
        tabIndex={-1}
        onChange={event => {
          attach(Array.from(event.target.files ?? []));
          event.target.value = '';
        }}
      />
    </>
  );
}
