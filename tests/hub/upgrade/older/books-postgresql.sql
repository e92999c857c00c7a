CREATE FUNCTION public.cellar_refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE FUNCTION public.cellar_refuse_unsealed_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM cellar_audit_seal AS seal
    WHERE seal.chain = OLD.chain AND OLD.seq BETWEEN seal.first_seq AND seal.last_seq) THEN RETURN OLD; END IF; RAISE EXCEPTION 'cellar_audit is append-only'; END $$;
CREATE TABLE public.cellar_audit (
    chain text NOT NULL,
    seq bigint NOT NULL,
    at double precision NOT NULL,
    row_type text NOT NULL,
    request_id text,
    user_name text,
    subject text,
    model text,
    record text NOT NULL,
    key_id text NOT NULL,
    mac text NOT NULL
);
CREATE TABLE public.cellar_audit_open (
    request_id text NOT NULL,
    chain text NOT NULL
);
CREATE TABLE public.cellar_audit_seal (
    chain text NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    record text NOT NULL,
    key_id text NOT NULL,
    mac text NOT NULL
);
CREATE TABLE public.cellar_reservation (
    request_id text NOT NULL,
    user_name text NOT NULL,
    model text NOT NULL,
    tokens bigint NOT NULL,
    owner text NOT NULL,
    expires_at double precision NOT NULL
);
CREATE TABLE public.cellar_settled (
    request_id text NOT NULL,
    at double precision NOT NULL
);
CREATE TABLE public.cellar_usage (
    user_name text NOT NULL,
    day date NOT NULL,
    model text NOT NULL,
    prompt bigint NOT NULL,
    completion bigint NOT NULL,
    cached bigint NOT NULL,
    requests bigint NOT NULL,
    estimated bigint NOT NULL
);
CREATE TABLE public.cellar_version (
    version_num character varying(32) NOT NULL
);
INSERT INTO public.cellar_audit VALUES ('gateway-1', 1, 1795992968.4185178, 'event', NULL, 'kim (command line)', 'chief', NULL, '{"row":"event","at":1795992968.4185178,"actor":"kim (command line)","action":"user.add","subject":"chief","detail":{"admin":"yes"}}', '2a1847db', 'cdf888b1c526c5154ba885837eb6c941e5fb1b85321d4d50813ee5380bd7fa86');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 2, 1795992969.0235193, 'event', NULL, 'kim (command line)', 'ann', NULL, '{"row":"event","at":1795992969.0235193,"actor":"kim (command line)","action":"user.add","subject":"ann","detail":{"admin":"no"}}', '2a1847db', '047a9a077b5476339d7d470d848498fe88b1f00c86ce6f44d4972af2c4dee13a');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 3, 1795992969.5509732, 'event', NULL, 'kim (command line)', 'bob', NULL, '{"row":"event","at":1795992969.5509732,"actor":"kim (command line)","action":"user.add","subject":"bob","detail":{"admin":"no"}}', '2a1847db', '0f6fc99103d0336218d07ef63370954a2ed789a800341783380153ab5fce42d8');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 4, 1795992970.5752785, 'event', NULL, 'ann', 'ann', NULL, '{"row":"event","at":1795992970.5752785,"actor":"ann","action":"user.login.succeeded","subject":"ann","detail":{"client":"127.0.0.1","count":1,"report":"49aa56054f2a-1"}}', '2a1847db', 'aaf68fe5c7745afb2d6aa96ff28eddcfdd5d34a19b8d93c407e3d88fa3726491');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 5, 1795992971.0952606, 'event', NULL, 'hub', 'ann', NULL, '{"row":"event","at":1795992971.0952606,"actor":"hub","action":"user.login.failed","subject":"ann","detail":{"client":"127.0.0.1","count":1,"report":"49aa56054f2a-2","reason":"wrong password"}}', '2a1847db', '7c91f0d33c11dc154d0dbe50274461998340d05065073f7f74ab396fcc348901');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 6, 1795992971.5866015, 'event', NULL, 'hub', 'unknown:787fc52184465ff2', NULL, '{"row":"event","at":1795992971.5866015,"actor":"hub","action":"user.login.failed","subject":"unknown:787fc52184465ff2","detail":{"client":"127.0.0.1","count":1,"report":"49aa56054f2a-3","reason":"unknown name"}}', '2a1847db', '356de7eabe559c9f09c159ef1e76a0e16f8ff0a731a1a73fa94ee4b4f8a745d6');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 7, 1795992972.0794227, 'event', NULL, 'bob', 'bob', NULL, '{"row":"event","at":1795992972.0794227,"actor":"bob","action":"user.login.succeeded","subject":"bob","detail":{"client":"127.0.0.1","count":1,"report":"49aa56054f2a-4"}}', '2a1847db', 'f5efdfe87796b4aac3cc151cc533166306151bd5b276b1969eecadff3e96fd76');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 8, 1795992972.1773715, 'event', NULL, 'hub', 'bob', NULL, '{"row":"event","at":1795992972.1773715,"actor":"hub","action":"token.revoke","subject":"bob","detail":{"forgotten":0,"stopped":0}}', '2a1847db', '873de811e542ac720650834cbb3a7e894c3d5da32661f5f2c8e5df2a9adcf30c');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 9, 1795992972.1793668, 'event', NULL, 'kim (command line)', 'bob', NULL, '{"row":"event","at":1795992972.1793668,"actor":"kim (command line)","action":"user.block","subject":"bob","detail":{"done":"may not log in any more, 0 tokens taken away"}}', '2a1847db', 'cde56f47d7ba398f22eced0e3698a1899971c9e07abbe473639faa37dcb7a86f');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 10, 1795992972.6382945, 'event', NULL, 'hub', 'bob', NULL, '{"row":"event","at":1795992972.6382945,"actor":"hub","action":"user.login.refused","subject":"bob","detail":{"client":"127.0.0.1","count":1,"report":"49aa56054f2a-5","reason":"blocked"}}', '2a1847db', 'd9a542f10b487206e5e2eaa95a65c44767c2263c2a5d054da0be42616ca64f6c');
INSERT INTO public.cellar_audit VALUES ('gateway-2', 6, 1788058803, 'settled', 'r3', NULL, NULL, NULL, '{"row":"settled","request_id":"r3","at":1788058803.0,"status":200,"outcome":"complete","error_code":"","prompt":30,"completion":12,"cached":null,"estimated":false,"queued_ms":null,"ttft_ms":null,"total_ms":900,"answer_mac":""}', '2a1847db', 'acff5c6f76528e408da9c2add21de74df4d3a2f05c21b44c8b9cc3b1a22c5a3a');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 11, 1795834804, 'opened', 'r4', 'ada', NULL, 'small', '{"row":"opened","request_id":"r4","at":1795834804.0,"user":"ada","groups":["staff"],"model":"small","kind":"chat","mode":"ask","turn":"","question_mac":"","client":"","token_id":"","max_tokens":null}', '2a1847db', '9ff8c567da1f05e40ecdea03b62ad371ca32b459a171f4c61f6cf412236199e2');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 12, 1795834804.9, 'settled', 'r4', NULL, NULL, NULL, '{"row":"settled","request_id":"r4","at":1795834804.9,"status":200,"outcome":"complete","error_code":"","prompt":30,"completion":12,"cached":null,"estimated":false,"queued_ms":null,"ttft_ms":null,"total_ms":900,"answer_mac":""}', '2a1847db', '7e8a68ce5a37eab60162207c19ebc100d4bc560b75ddd7fa5c6d4f2de1d37c55');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 13, 1795834805, 'opened', 'r5', 'ada', NULL, 'small', '{"row":"opened","request_id":"r5","at":1795834805.0,"user":"ada","groups":["staff"],"model":"small","kind":"chat","mode":"ask","turn":"","question_mac":"","client":"","token_id":"","max_tokens":null}', '2a1847db', '3daa105bee07c09218ed56bf6c110161fd19b8d225c516139a77fce96c4f8aac');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 14, 1795834805.9, 'settled', 'r5', NULL, NULL, NULL, '{"row":"settled","request_id":"r5","at":1795834805.9,"status":200,"outcome":"complete","error_code":"","prompt":30,"completion":12,"cached":null,"estimated":false,"queued_ms":null,"ttft_ms":null,"total_ms":900,"answer_mac":""}', '2a1847db', '67017c1a7d5a07d179d3fce719fa02566c1f3a8ad135225e05b404ffa7f2758c');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 15, 1795834806, 'opened', 'r6', 'ada', NULL, 'small', '{"row":"opened","request_id":"r6","at":1795834806.0,"user":"ada","groups":["staff"],"model":"small","kind":"chat","mode":"ask","turn":"","question_mac":"","client":"","token_id":"","max_tokens":null}', '2a1847db', 'e4d638aad72bcfee615f52a8d7b5ed403de3495f177a3081c6206c1c7539183c');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 16, 1795834810, 'interrupted', 'r6', NULL, NULL, NULL, '{"row":"interrupted","request_id":"r6","at":1795834810.0}', '2a1847db', '3c04d4a087b35554ef30c498f0c8a98f4c1a96c1094eef7828cb2e5a25839733');
INSERT INTO public.cellar_audit VALUES ('gateway-1', 17, 1795834807, 'opened', 'r7', 'ada', NULL, 'small', '{"row":"opened","request_id":"r7","at":1795834807.0,"user":"ada","groups":["staff"],"model":"small","kind":"chat","mode":"ask","turn":"","question_mac":"","client":"","token_id":"","max_tokens":null}', '2a1847db', '0699780ef349d1b258df10e178d228002fa397deda7e2eca19475798b2c7dd98');
INSERT INTO public.cellar_audit_open VALUES ('r7', 'gateway-1');
INSERT INTO public.cellar_audit_seal VALUES ('gateway-2', 1, 5, '{"statement":"seal","chain":"gateway-2","first_seq":1,"last_seq":5,"previous_mac":"","last_mac":"e8c763e1b44d014d75eb015d41af8dfcb5faaaa391729014a33ffa8539534136","at":1795834800.0}', '2a1847db', 'fb6c78e4e16d386f31b27cc466be18225a86be3be4cee7549501e31ccc08eb2e');
INSERT INTO public.cellar_reservation VALUES ('r6', 'ada', 'small', 500, 'gateway-1', 1795834860);
INSERT INTO public.cellar_reservation VALUES ('r7', 'ada', 'small', 500, 'gateway-1', 1795834860);
INSERT INTO public.cellar_settled VALUES ('r4', 1795834804);
INSERT INTO public.cellar_settled VALUES ('r5', 1795834805);
INSERT INTO public.cellar_usage VALUES ('ada', '2026-11-28', 'small', 60, 24, 16, 2, 0);
INSERT INTO public.cellar_version VALUES ('0001');
ALTER TABLE ONLY public.cellar_version
    ADD CONSTRAINT cellar_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.cellar_audit
    ADD CONSTRAINT pk_cellar_audit PRIMARY KEY (chain, seq);
ALTER TABLE ONLY public.cellar_audit_open
    ADD CONSTRAINT pk_cellar_audit_open PRIMARY KEY (request_id);
ALTER TABLE ONLY public.cellar_audit_seal
    ADD CONSTRAINT pk_cellar_audit_seal PRIMARY KEY (chain, first_seq);
ALTER TABLE ONLY public.cellar_reservation
    ADD CONSTRAINT pk_cellar_reservation PRIMARY KEY (request_id);
ALTER TABLE ONLY public.cellar_settled
    ADD CONSTRAINT pk_cellar_settled PRIMARY KEY (request_id);
ALTER TABLE ONLY public.cellar_usage
    ADD CONSTRAINT pk_cellar_usage PRIMARY KEY (user_name, day, model);
CREATE INDEX ix_cellar_audit_at ON public.cellar_audit USING btree (at) WHERE (row_type = ANY (ARRAY['opened'::text, 'event'::text]));
CREATE INDEX ix_cellar_audit_event ON public.cellar_audit USING btree (at) WHERE (row_type = 'event'::text);
CREATE INDEX ix_cellar_audit_model ON public.cellar_audit USING btree (model, at) WHERE (row_type = 'opened'::text);
CREATE INDEX ix_cellar_audit_open_chain ON public.cellar_audit_open USING btree (chain);
CREATE INDEX ix_cellar_audit_request ON public.cellar_audit USING btree (request_id) WHERE (request_id IS NOT NULL);
CREATE INDEX ix_cellar_audit_subject ON public.cellar_audit USING btree (subject, at) WHERE (row_type = 'event'::text);
CREATE INDEX ix_cellar_audit_user ON public.cellar_audit USING btree (user_name, at) WHERE (row_type = ANY (ARRAY['opened'::text, 'event'::text]));
CREATE INDEX ix_cellar_reservation_expires_at ON public.cellar_reservation USING btree (expires_at);
CREATE INDEX ix_cellar_reservation_owner ON public.cellar_reservation USING btree (owner);
CREATE INDEX ix_cellar_reservation_user_name ON public.cellar_reservation USING btree (user_name);
CREATE INDEX ix_cellar_settled_at ON public.cellar_settled USING btree (at);
CREATE INDEX ix_cellar_usage_day ON public.cellar_usage USING btree (day);
CREATE TRIGGER cellar_audit_no_delete BEFORE DELETE ON public.cellar_audit FOR EACH ROW EXECUTE FUNCTION public.cellar_refuse_unsealed_delete();
CREATE TRIGGER cellar_audit_no_truncate BEFORE TRUNCATE ON public.cellar_audit FOR EACH STATEMENT EXECUTE FUNCTION public.cellar_refuse_change();
CREATE TRIGGER cellar_audit_no_update BEFORE UPDATE ON public.cellar_audit FOR EACH ROW EXECUTE FUNCTION public.cellar_refuse_change();
CREATE TRIGGER cellar_audit_seal_no_delete BEFORE DELETE ON public.cellar_audit_seal FOR EACH ROW EXECUTE FUNCTION public.cellar_refuse_change();
CREATE TRIGGER cellar_audit_seal_no_truncate BEFORE TRUNCATE ON public.cellar_audit_seal FOR EACH STATEMENT EXECUTE FUNCTION public.cellar_refuse_change();
CREATE TRIGGER cellar_audit_seal_no_update BEFORE UPDATE ON public.cellar_audit_seal FOR EACH ROW EXECUTE FUNCTION public.cellar_refuse_change();
