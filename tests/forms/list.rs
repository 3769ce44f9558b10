//! The instructions that may occur. Whatever enters the kernel, changes segments, control registers
//! or the floating-point environment, or is not known to be harmless, is not among them.

use iced_x86::{Instruction, Register};

/// Whether the instruction is in the list, without prefixes that change what it reaches.
pub fn allows(i: &Instruction) -> bool {
    let name = format!("{:?}", i.mnemonic());
    i.segment_prefix() == Register::None
        && !i.has_rep_prefix()
        && !i.has_repne_prefix()
        && NAMES.binary_search(&name.as_str()).is_ok()
}

/// Their names, sorted: what suite and corpus need, and close relatives of those.
#[rustfmt::skip]
const NAMES: [&str; 476] = [
    "Adc", "Add", "Addpd", "Addps", "Addsd", "Addss", "And", "Andn", "Andnpd", "Andnps", "Andpd",
    "Andps", "Bextr", "Blendvpd", "Blsi", "Blsmsk", "Blsr", "Bsf", "Bsr", "Bswap", "Bt", "Bzhi",
    "Call", "Cdq", "Cmova", "Cmovae", "Cmovb", "Cmovbe", "Cmove", "Cmovg", "Cmovge", "Cmovl",
    "Cmovle", "Cmovne", "Cmovno", "Cmovnp", "Cmovns", "Cmovo", "Cmovp", "Cmovs", "Cmp", "Cmppd",
    "Cmpps", "Cmpxchg", "Cqo", "Cvtdq2pd", "Cvtdq2ps", "Cvtpd2ps", "Cvtps2pd", "Cvtsd2ss",
    "Cvtsi2sd", "Cvtsi2ss", "Cvtss2sd", "Cvttpd2dq", "Cvttps2dq", "Cvttsd2si", "Cvttss2si",
    "Cwde", "Div", "Divpd", "Divps", "Divsd", "Divss", "Idiv", "Imul", "Insertps", "Ja", "Jae",
    "Jb", "Jbe", "Je", "Jg", "Jge", "Jl", "Jle", "Jmp", "Jne", "Jno", "Jnp", "Jns", "Jo", "Jp",
    "Js", "Lea", "Lzcnt", "Maxpd", "Maxps", "Maxsd", "Maxss", "Mfence", "Minpd", "Minps", "Minsd",
    "Minss", "Mov", "Movaps", "Movbe", "Movd", "Movddup", "Movdqa", "Movdqu", "Movhlps", "Movhps",
    "Movlhps", "Movlps", "Movmskpd", "Movmskps", "Movq", "Movsd", "Movss", "Movsx", "Movsxd",
    "Movupd", "Movups", "Movzx", "Mul", "Mulpd", "Mulps", "Mulsd", "Mulss", "Mulx", "Neg", "Nop",
    "Not", "Or", "Orpd", "Orps", "Pabsb", "Pabsd", "Pabsw", "Packssdw", "Packsswb", "Packusdw",
    "Packuswb", "Paddb", "Paddd", "Paddq", "Paddsb", "Paddsw", "Paddusb", "Paddusw", "Paddw",
    "Palignr", "Pand", "Pandn", "Pavgb", "Pavgw", "Pblendvb", "Pblendw", "Pcmpeqb", "Pcmpeqd",
    "Pcmpeqq", "Pcmpeqw", "Pcmpgtb", "Pcmpgtd", "Pcmpgtq", "Pcmpgtw", "Pextrb", "Pextrd",
    "Pextrq", "Pextrw", "Phaddw", "Pinsrb", "Pinsrd", "Pinsrq", "Pinsrw", "Pmaddubsw", "Pmaddwd",
    "Pmaxsb", "Pmaxsd", "Pmaxsw", "Pmaxub", "Pmaxud", "Pmaxuw", "Pminsb", "Pminsd", "Pminsw",
    "Pminub", "Pminud", "Pminuw", "Pmovmskb", "Pmovsxbw", "Pmovsxdq", "Pmovsxwd", "Pmovzxbw",
    "Pmovzxdq", "Pmovzxwd", "Pmuldq", "Pmulhrsw", "Pmulhuw", "Pmulhw", "Pmulld", "Pmullw",
    "Pmuludq", "Pop", "Popcnt", "Por", "Pshufb", "Pshufd", "Pshufhw", "Pshuflw", "Pslld", "Psllq",
    "Psllw", "Psrad", "Psraw", "Psrld", "Psrlq", "Psrlw", "Psubb", "Psubd", "Psubq", "Psubsb",
    "Psubsw", "Psubusb", "Psubusw", "Psubw", "Ptest", "Punpckhbw", "Punpckhdq", "Punpckhqdq",
    "Punpckhwd", "Punpcklbw", "Punpckldq", "Punpcklqdq", "Punpcklwd", "Push", "Pxor", "Ret",
    "Rol", "Ror", "Rorx", "Roundpd", "Roundps", "Roundsd", "Roundss", "Sar", "Sarx", "Sbb",
    "Seta", "Setae", "Setb", "Setbe", "Sete", "Setg", "Setge", "Setl", "Setle", "Setne", "Setno",
    "Setnp", "Setns", "Seto", "Setp", "Sets", "Shl", "Shld", "Shlx", "Shr", "Shrd", "Shrx",
    "Shufpd", "Shufps", "Sqrtpd", "Sqrtps", "Sqrtsd", "Sqrtss", "Sub", "Subpd", "Subps", "Subsd",
    "Subss", "Test", "Tzcnt", "Ucomisd", "Ucomiss", "Ud2", "Unpckhpd", "Unpckhps", "Unpcklpd",
    "Unpcklps", "Vaddpd", "Vaddps", "Vaddsd", "Vaddss", "Vandnpd", "Vandnps", "Vandpd", "Vandps",
    "Vblendvpd", "Vbroadcastss", "Vcmppd", "Vcmpps", "Vcvtdq2pd", "Vcvtdq2ps", "Vcvtpd2ps",
    "Vcvtps2pd", "Vcvtsd2ss", "Vcvtsi2sd", "Vcvtsi2ss", "Vcvtss2sd", "Vcvttpd2dq", "Vcvttps2dq",
    "Vdivpd", "Vdivps", "Vdivsd", "Vdivss", "Vfmadd132sd", "Vfmadd132ss", "Vfmadd213pd",
    "Vfmadd213ps", "Vfmadd213sd", "Vfmadd213ss", "Vfmadd231pd", "Vfmadd231ps", "Vfnmadd213pd",
    "Vfnmadd213ps", "Vinsertps", "Vmaxpd", "Vmaxps", "Vmaxsd", "Vmaxss", "Vminpd", "Vminps",
    "Vminsd", "Vminss", "Vmovaps", "Vmovd", "Vmovddup", "Vmovdqa", "Vmovdqu", "Vmovhlps",
    "Vmovhps", "Vmovlhps", "Vmovlps", "Vmovmskpd", "Vmovmskps", "Vmovq", "Vmovsd", "Vmovss",
    "Vmovupd", "Vmovups", "Vmulpd", "Vmulps", "Vmulsd", "Vmulss", "Vorpd", "Vorps", "Vpabsb",
    "Vpabsd", "Vpabsw", "Vpackssdw", "Vpacksswb", "Vpackusdw", "Vpackuswb", "Vpaddb", "Vpaddd",
    "Vpaddq", "Vpaddsb", "Vpaddsw", "Vpaddusb", "Vpaddusw", "Vpaddw", "Vpalignr", "Vpand",
    "Vpandn", "Vpavgb", "Vpavgw", "Vpblendvb", "Vpblendw", "Vpbroadcastb", "Vpbroadcastd",
    "Vpbroadcastw", "Vpcmpeqb", "Vpcmpeqd", "Vpcmpeqq", "Vpcmpeqw", "Vpcmpgtb", "Vpcmpgtd",
    "Vpcmpgtq", "Vpcmpgtw", "Vpextrb", "Vpextrd", "Vpextrq", "Vpextrw", "Vphaddw", "Vpinsrb",
    "Vpinsrd", "Vpinsrq", "Vpinsrw", "Vpmaddubsw", "Vpmaddwd", "Vpmaxsb", "Vpmaxsd", "Vpmaxsw",
    "Vpmaxub", "Vpmaxud", "Vpmaxuw", "Vpminsb", "Vpminsd", "Vpminsw", "Vpminub", "Vpminud",
    "Vpminuw", "Vpmovmskb", "Vpmovsxbw", "Vpmovsxdq", "Vpmovsxwd", "Vpmovzxbw", "Vpmovzxdq",
    "Vpmovzxwd", "Vpmuldq", "Vpmulhrsw", "Vpmulhuw", "Vpmulhw", "Vpmulld", "Vpmullw", "Vpmuludq",
    "Vpor", "Vpshufb", "Vpshufd", "Vpshufhw", "Vpshuflw", "Vpslld", "Vpsllq", "Vpsllw", "Vpsrad",
    "Vpsraw", "Vpsrld", "Vpsrlq", "Vpsrlw", "Vpsubb", "Vpsubd", "Vpsubq", "Vpsubsb", "Vpsubsw",
    "Vpsubusb", "Vpsubusw", "Vpsubw", "Vptest", "Vpunpckhbw", "Vpunpckhdq", "Vpunpckhqdq",
    "Vpunpckhwd", "Vpunpcklbw", "Vpunpckldq", "Vpunpcklqdq", "Vpunpcklwd", "Vpxor", "Vroundpd",
    "Vroundps", "Vroundsd", "Vroundss", "Vshufpd", "Vshufps", "Vsqrtpd", "Vsqrtps", "Vsqrtsd",
    "Vsqrtss", "Vsubpd", "Vsubps", "Vsubsd", "Vsubss", "Vucomisd", "Vucomiss", "Vunpckhpd",
    "Vunpckhps", "Vunpcklpd", "Vunpcklps", "Vxorpd", "Vxorps", "Xadd", "Xchg", "Xor", "Xorpd",
    "Xorps",
];
