"""The verbs: what participants do, put together from domain, ledger and vault. No machine and no command line here.

members     admit, suspend, request, attest, enroll, retire      publish     encrypt, store, fix on the ledger
licensing   grant, revoke, pause, credit, close, assign          release     collect a key from custodians
custodian   release a share; custodian_http serves it,           check       is this part genuine? check it out
            share_request is what both sides say,                history     all events, replayed
            release_log what was released                        audit       the replay against the contract
slicing     what slicers say in their files              png         pictures with nothing else in them
whole_file  files that exist whole or not at all          sealed_model  3MF for and from other systems
"""
