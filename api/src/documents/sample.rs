//! Two made-up agreements: one with everything, one with every option absent. Each template, overrides too, is
//! rendered with both before the server listens. People, places and numbers are invented.

use chrono::NaiveDate;

use super::agreement::{AgreementDocument, AgreementInstalment, AgreementParty, AgreementShare, AgreementSignature, SignatureKind};

const FINGERPRINT: &str = "9f2c5d0e7b1a4386c4e0d7f95a63b8124c7e9d0183f6a2b54e8c1d709b3f6a25";
const VERIFICATION: &str = "heyi verify --key public-key.pem 交接包.zip（公钥见本委员会网站 /.well-known/heyi-key.pem）";

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}

impl AgreementDocument {
    /// A sample with every part present.
    pub fn sample_full() -> Self {
        let hospital = "安平县第一人民医院";
        let insurer = "华安财产保险股份有限公司安平支公司";
        let signature =
            |name: &str, role_title: &str, kind| AgreementSignature { name: name.into(), role_title: role_title.into(), kind, on: day(2026, 11, 23) };
        let instalment = |n, payer: &str, amount_fen, due_on| AgreementInstalment { n, payer: payer.into(), amount_fen, due_on };
        Self {
            number: "安医人调字〔2026〕第017号".into(),
            committee: "安平县医疗纠纷人民调解委员会".into(),
            parties: vec![
                AgreementParty {
                    side: "患方".into(),
                    name: "张秀兰".into(),
                    identity_note: Some("女，1958年4月出生，居民身份证尾号1023，系患者本人".into()),
                    address: Some("安平县城关镇解放路12号3栋2单元501室".into()),
                    agent: Some("张志强（患者之子，特别授权）".into()),
                },
                AgreementParty {
                    side: "医方".into(),
                    name: hospital.into(),
                    identity_note: Some("统一社会信用代码 12210900A0000000X1，法定代表人 赵立新".into()),
                    address: Some("安平县城关镇人民大街88号".into()),
                    agent: Some("孙海燕（医患关系科科长，一般授权）".into()),
                },
            ],
            facts: "2026年5月11日，张秀兰因“右髋部疼痛、活动受限半年”入住安平县第一人民医院骨科，5月14日行右侧人工全髋关节置换术。术后第二日出现右足背伸无力，肌电图提示右侧坐骨神经腓总支部分损伤。经营养神经、康复治疗，至出院时右足背伸肌力为3级。\n2026年9月22日，双方共同申请调解。本委员会依法受理，并经双方同意委托鉴定，鉴定意见载明：手术指征明确，术中对坐骨神经的保护和术后观察存在不足，与损害后果之间存在因果关系，原因力为主要原因。".into(),
            dispute: "1．医方的诊疗行为是否存在过错，与患方右下肢神经损伤之间是否存在因果关系；\n2．医疗费、护理费、残疾赔偿金等各项损失的数额及承担比例。".into(),
            responsibility: Some("双方认可上述鉴定意见，同意由医方对患方的损失承担主要责任，按百分之七十的比例确定赔偿数额。".into()),
            terms: vec![
                "医方就本次医疗纠纷赔偿患方医疗费、护理费、住院伙食补助费、营养费、残疾赔偿金、精神损害抚慰金等各项损失，总额以本协议载明的给付金额为准。".into(),
                "医方为患方提供为期六个月的免费门诊康复治疗，自本协议生效之日起计算。".into(),
                "患方收到首期款项之日起三日内，向医方出具收款凭证，并配合保险理赔所需的签字手续。".into(),
            ],
            total_fen: 22_620_000,
            shares: vec![
                AgreementShare { payer: insurer.into(), amount_fen: 18_000_000 },
                AgreementShare { payer: hospital.into(), amount_fen: 4_620_000 },
            ],
            instalments: vec![
                instalment(1, insurer, 10_000_000, day(2026, 12, 7)),
                instalment(2, insurer, 8_000_000, day(2027, 1, 11)),
                instalment(3, hospital, 4_620_000, day(2027, 1, 11)),
            ],
            manner: "银行转账，汇入患方指定的本人账户（户名：张秀兰；开户行：安平县农村信用合作联社城关分社；账号尾号：6618）。".into(),
            copies: 5,
            signatures: vec![
                signature("张秀兰", "患方", SignatureKind::Fingerprint),
                signature("张志强", "患方代理人", SignatureKind::Signature),
                signature(hospital, "医方", SignatureKind::Seal),
                signature("孙海燕", "医方代理人", SignatureKind::Signature),
                signature("周文", "人民调解员", SignatureKind::Signature),
                signature("李静怡", "记录人", SignatureKind::Signature),
            ],
            mediators: vec!["周文".into(), "陈国栋".into()],
            effective_on: day(2026, 11, 23),
            confirm_by: day(2026, 12, 23),
            key_fingerprint: FINGERPRINT.into(),
            verification: VERIFICATION.into(),
        }
    }

    /// A sample with every option absent: nothing to pay, nobody has signed yet.
    pub fn sample_bare() -> Self {
        let party = |side: &str, name: &str| AgreementParty { side: side.into(), name: name.into(), identity_note: None, address: None, agent: None };
        Self {
            number: "安医人调字〔2026〕第018号".into(),
            committee: "安平县医疗纠纷人民调解委员会".into(),
            parties: vec![party("患方", "李明"), party("医方", "安平县中医院")],
            facts: "患方因就诊过程中的沟通问题与医方发生争议。".into(),
            dispute: "医方是否应当向患方书面说明情况并致歉。".into(),
            responsibility: None,
            terms: vec!["医方于本协议生效之日起五日内向患方出具书面说明并致歉。".into()],
            total_fen: 0,
            shares: Vec::new(),
            instalments: Vec::new(),
            manner: String::new(),
            copies: 3,
            signatures: Vec::new(),
            mediators: vec!["周文".into()],
            effective_on: day(2026, 10, 10),
            confirm_by: day(2026, 11, 9),
            key_fingerprint: FINGERPRINT.into(),
            verification: VERIFICATION.into(),
        }
    }
}
