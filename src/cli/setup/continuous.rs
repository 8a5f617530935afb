//! Jobs of build servers. A runner that signs stands on the machine of the gate, or has the gate's socket mounted; the job
//! itself brings who it is, never a key and never the HSM's PIN.

use super::{
    plan::{Entry, MARK},
    tools::{Recipe, Tool},
};

/// The job's file.
pub fn entries(recipe: &Recipe<'_>) -> Vec<Entry> {
    let (name, text) = match recipe.tool {
        Tool::GithubActions => ("sign.yml", GITHUB),
        Tool::Gitlab => ("signgate.gitlab-ci.yml", GITLAB),
        _ => ("Jenkinsfile", JENKINS),
    };
    let signer = recipe.signer;
    let comment = if name == "Jenkinsfile" { "//" } else { "#" };
    let mut door = String::new();
    for (name, value) in &signer.variables {
        let indented = match recipe.tool {
            Tool::GithubActions => format!("\n      {name}: \"{value}\""),
            Tool::Gitlab => format!("\n    {name}: \"{value}\""),
            _ => format!("\n    {name} = '{value}'"),
        };
        door.push_str(&indented);
    }
    let socket = match signer.variables.iter().find_map(|(_, value)| value.strip_prefix("unix:path=")) {
        Some(path) => format!(" --socket {path}"),
        None => format!(" --module {}", signer.module.display()),
    };
    let text = text.replace("@DOOR@", &door).replace("@NAME@", &signer.name).replace("@WHERE@", &socket);
    vec![Entry::file(recipe.folder.join(name), 0o644, format!("{comment} {MARK} {}`.\n{text}", recipe.tool.name()))]
}

const GITHUB: &str = r#"# .github/workflows/sign.yml. The secret SIGNGATE_TOKEN is a service token of the policy; without one, the runner's account
# says who is calling. With an issuer in the policy (docs/identity.md) the job needs no secret: give it the permission
# `id-token: write`, and before the signature
#   signgate token github --audience AUDIENCE >"$RUNNER_TEMP/id-token"
#   echo "SIGNGATE_PIN=$(signgate login --oidc --id-token "$RUNNER_TEMP/id-token")" >>"$GITHUB_ENV"
name: sign
on:
  push:
    tags: ["v*"]
permissions:
  contents: read
jobs:
  sign:
    runs-on: [self-hosted, signgate]
    env:
      SIGNGATE_PIN: ${{ secrets.SIGNGATE_TOKEN || 'none' }}@DOOR@
    steps:
      - uses: actions/checkout@v4
      - name: Sign
        run: |
          signgate setup openssl --signer @NAME@@WHERE@ --write "$RUNNER_TEMP/signgate"
          "$RUNNER_TEMP/signgate/sign.sh" release.bin release.bin.sig
      - name: Why it was refused
        if: failure()
        run: signgate last
"#;

const GITLAB: &str = r#"# To be included in .gitlab-ci.yml. The masked and protected variable SIGNGATE_PIN is a service token of the policy; without
# one, the runner's account says who is calling. With an issuer in the policy (docs/identity.md) the job needs no secret:
#   id_tokens: { SIGNGATE_ID_TOKEN: { aud: AUDIENCE } }, and in `script:` before the signature
#   export SIGNGATE_PIN=$(signgate login --oidc)
sign:
  stage: deploy
  tags: [signgate]
  rules:
    - if: $CI_COMMIT_TAG
  variables:
    GIT_STRATEGY: fetch@DOOR@
  script:
    - signgate setup openssl --signer @NAME@@WHERE@ --write "$CI_PROJECT_DIR/.signgate"
    - .signgate/sign.sh release.bin release.bin.sig
  after_script:
    - signgate last || true
  artifacts:
    paths: [release.bin.sig]
"#;

const JENKINS: &str = r#"// Jenkinsfile. The credential `signgate-token` is a service token of the policy, kept as "Secret text".
pipeline {
  agent { label 'signgate' }
  environment {
    SIGNGATE_PIN = credentials('signgate-token')@DOOR@
  }
  stages {
    stage('Sign') {
      steps {
        sh '''
          signgate setup openssl --signer @NAME@@WHERE@ --write "$WORKSPACE_TMP/signgate"
          "$WORKSPACE_TMP/signgate/sign.sh" release.bin release.bin.sig
        '''
      }
    }
  }
  post {
    failure { sh 'signgate last' }
  }
}
"#;
